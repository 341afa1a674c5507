"""``train``: an agent with published hyperparameters, as ``policypress train`` does it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from policypress.environments.trust import user_environment
from policypress.training_package import TrainingRequest, training_services
from policypress_runtime.contract import EnvironmentSpec


def train(
    algorithm: str,
    env: EnvironmentSpec | str,
    output: str | Path,
    *,
    steps: int | None = None,
    seed: int = 0,
    **changes: Any,
) -> Path:
    """Train an agent, or go on where an interrupted call stopped; what is done is not done again.

    ``compress``, ``evaluate``, ``export_agent`` and ``load_agent`` take the path that is given back. In the folder of
    the same name stand the record (``training.json``), the Zoo's files, and the networks that act alone
    (``policy.zip``).

    Args:
        algorithm: ``dqn``, ``ddpg``, ``td3``, ``sac``, ``ppo`` or ``trpo``.
        env: id, or ``package.module:MyEnv-v0``, whose module is then imported.
        output: the zip.
        steps: environment steps; the published number if None.
        seed: of everything random.
        changes: other fields of :class:`~policypress.training_package.TrainingRequest`:
            ``train("dqn", "CartPole-v1", "cartpole.zip", overrides=[("learning_rate", 1e-3)])``.

    Raises:
        TrainingInputError: it cannot be trained.
        MissingDependencyError: policypress-train is not installed.
    """
    spec = user_environment(env) if isinstance(env, str) else env
    services = training_services()
    request = replace(TrainingRequest(algorithm, spec, steps=steps, seed=seed), **changes)
    path = Path(output)
    services.run(services.plan(request), path, _Silent(), fresh=False)
    return path


class _Silent:
    """Hears of progress and says nothing."""

    def started(self, steps: int, total: int, exact: bool | None) -> None:
        """The training starts."""

    def advanced(self, steps: int) -> None:
        """Steps are done."""

    def evaluated(self, evaluation: Any) -> None:
        """An evaluation is done."""
