"""Published hyperparameters, from the readable files in ``published/``: one per algorithm, and one per study."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from gymnasium.envs.registration import parse_env_id
from gymnasium.error import Error as GymnasiumError

from policypress.agents.algorithm_names import AlgorithmName
from policypress.environments.identifiers import module_of
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import TrainingInputError

_DEFAULT, _ATARI, _SOURCE = "default", "atari", "source"
_STEPS, _EPISODES = "steps", "episodes"
ZOO = "zoo"
"""The RL Zoo's values, where nothing else is asked for."""
STUDIES = ("li2023",)
"""Publications whose values can be asked for; a file holds all their algorithms."""


@dataclass(frozen=True)
class Published:
    """Published hyperparameters for one environment.

    ``entry`` is their heading in the file (``default``: the environment is not named there). ``episodes`` is
    the budget where the source counts episodes; ``steps`` is then what the schedules run over.
    """

    entry: str
    steps: int
    hyperparameters: dict[str, Any]
    source: str
    episodes: int | None = None

    @property
    def specific(self) -> bool:
        """Whether the values were published for this environment, or this kind of environment."""
        return self.entry != _DEFAULT


def published(algorithm: AlgorithmName, environment: EnvironmentSpec, by: str = ZOO) -> Published:
    """Hyperparameters and budget for an environment, or the algorithm's defaults if none are published.

    Args:
        algorithm: its name.
        environment: whose values.
        by: ``zoo``, or one of :data:`STUDIES`, which have no defaults.

    Raises:
        TrainingInputError: no publication of this name, or none for this algorithm and environment.
    """
    table = _table(algorithm) if by == ZOO else _of_study(by, algorithm)
    entry = next((name for name in _names(environment) if name in table), _DEFAULT)
    if entry not in table:
        raise TrainingInputError(
            f"{by} has no hyperparameters for {algorithm} in this environment.",
            got=environment.id,
            expected=", ".join(name for name in table if name != _SOURCE),
        )
    values = dict(table[entry])
    steps, episodes = int(values.pop(_STEPS)), values.pop(_EPISODES, None)
    return Published(entry, steps, values, str(table[_SOURCE]), episodes)


def entries(algorithm: AlgorithmName) -> tuple[str, ...]:
    """Headings of an algorithm's file."""
    return tuple(name for name in _table(algorithm) if name != _SOURCE)


def _table(algorithm: AlgorithmName) -> dict[str, Any]:
    return _content(algorithm)


def _of_study(name: str, algorithm: AlgorithmName) -> dict[str, Any]:
    if name not in STUDIES:
        raise TrainingInputError(
            "There are no published hyperparameters of this name.", got=name, expected=", ".join((ZOO, *STUDIES))
        )
    table = _content(name)
    return {_SOURCE: table[_SOURCE], **table.get(algorithm, {})}


@cache
def _content(name: str) -> dict[str, Any]:
    content = (
        files("policypress_train.hyperparameters").joinpath("published", f"{name}.yml").read_text(encoding="utf-8")
    )
    table: dict[str, Any] = yaml.safe_load(content)
    return table


def _names(environment: EnvironmentSpec) -> tuple[str, ...]:
    """Matching headings, the most specific first."""
    if module_of(environment.id) is not None:
        return ()
    try:
        namespace, name, _ = parse_env_id(environment.id)
    except GymnasiumError:
        return ()
    if namespace == "ALE" or name.endswith("NoFrameskip"):
        return (_ATARI,)
    if namespace is not None:
        return ()
    if dict(environment.kwargs).get("continuous") is True:
        return (f"{name}Continuous",)
    return (name,)
