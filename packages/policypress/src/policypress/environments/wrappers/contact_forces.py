"""MuJoCo agents from before v4: contact forces were observed, and were always zero.

From MuJoCo 2.0 on the library computed them only when asked, and the environments v2 and v3 did not ask
(openai/gym issues 1541 and 2593; repaired in v4). An agent trained there never learned what to do with the 84 numbers
that v4 puts in their place, so it has to be shown zeros again. Ant v4 leaves them out unless told otherwise; then they
are appended, and its reward has no contact cost, just as it was.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.envs.registration import parse_env_id

from policypress.environments.identifiers import module_of
from policypress.environments.wrappers.observation import Env
from policypress_runtime.contract import EnvironmentSpec, WrapperSpec
from policypress_runtime.errors import WrapperError

NAME = "ZeroContactForces"
# Where the 14 bodies' 6 force components stand among the observations.
_PLACES = {"Ant": (27, 111), "Humanoid": (292, 376), "HumanoidStandup": (292, 376)}
_ALIVE = 1e-3  # variance of a force that was really observed; one that never moved is below 1e-9


class ZeroContactForces(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Shows zeros in place of the contact forces, as the MuJoCo environments v2 and v3 did."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        name = env.spec.name if env.spec is not None else None
        box = env.observation_space
        if name not in _PLACES or not isinstance(box, gymnasium.spaces.Box) or len(box.shape) != 1:
            raise WrapperError(
                f"{NAME} does not support this environment.", got=f"{name}: {box}", expected=", ".join(_PLACES)
            )
        self._first, self._end = _PLACES[name]
        size = box.shape[0]
        if size != self._first and size < self._end:
            raise WrapperError(
                f"{NAME} does not fit this version of {name}.",
                got=f"{size} observations",
                expected=f"{self._first}, or at least {self._end}",
            )
        self._appends = size == self._first
        total = max(size, self._end)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (total,), box.dtype.type)

    def observation(self, observation: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The observation with zeros where the contact forces were."""
        if self._appends:
            return np.concatenate((observation, np.zeros(self._end - self._first, observation.dtype)))
        silenced = observation.copy()
        silenced[self._first : self._end] = 0
        return silenced


def silenced(
    spec: EnvironmentSpec, trained_id: str, observed_variance: npt.NDArray[np.float64] | None
) -> EnvironmentSpec | None:
    """``spec`` with zero contact forces, if an agent of ``trained_id`` was shown zeros; else None.

    Args:
        spec: the environment under its current id.
        trained_id: the id the agent was trained on.
        observed_variance: of each observation in training, where a normaliser kept it: the proof either way.
    """
    if module_of(trained_id) is not None:
        return None
    _, name, version = parse_env_id(trained_id)
    if name not in _PLACES or version not in (2, 3) or any(wrapper.name == NAME for wrapper in spec.wrappers):
        return None
    if observed_variance is not None and bool(np.any(observed_variance[slice(*_PLACES[name])] > _ALIVE)):
        return None
    return replace(spec, wrappers=(WrapperSpec(NAME), *spec.wrappers))


def adds_zeros(variant: EnvironmentSpec, spec: EnvironmentSpec) -> bool:
    """Whether ``variant`` shows zeros where ``spec`` does not."""
    return any(wrapper.name == NAME for wrapper in variant.wrappers) and variant.wrappers != spec.wrappers


def notice(spec: EnvironmentSpec) -> str:
    """The notice about the zeros of ``spec``."""
    flag = " --env-kwargs use_contact_forces=True" if spec.id == "Ant-v4" else ""
    return (
        f"{spec.trained_id} gave its agents contact forces of zero (openai/gym issue 1541), so they are zero here"
        f" too. For real ones: --env {shlex.quote(spec.id)}{flag}"
    )
