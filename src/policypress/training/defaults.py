"""Published hyperparameters, from the readable files in ``published/``: one file per algorithm."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from gymnasium.envs.registration import parse_env_id
from gymnasium.error import Error as GymnasiumError

from policypress.contract import EnvironmentSpec
from policypress.environment.identifiers import module_of
from policypress.training.algorithms import AlgorithmName

_DEFAULT, _ATARI, _SOURCE = "default", "atari", "source"
_STEPS = "steps"


@dataclass(frozen=True)
class Published:
    """What a file says for one environment.

    ``entry`` is the heading it stands under (``default``: the environment is not named in the file).
    """

    entry: str
    steps: int
    hyperparameters: dict[str, Any]
    source: str

    @property
    def specific(self) -> bool:
        """Whether somebody published values for this environment, or kind of environment."""
        return self.entry != _DEFAULT


def published(algorithm: AlgorithmName, environment: EnvironmentSpec) -> Published:
    """Hyperparameters and steps for an environment, or the algorithm's defaults where none are published."""
    table = _table(algorithm)
    entry = next((name for name in _names(environment) if name in table), _DEFAULT)
    values = dict(table[entry])
    return Published(entry, int(values.pop(_STEPS)), values, str(table[_SOURCE]))


def entries(algorithm: AlgorithmName) -> tuple[str, ...]:
    """Headings of an algorithm's file."""
    return tuple(name for name in _table(algorithm) if name != _SOURCE)


@cache
def _table(algorithm: AlgorithmName) -> dict[str, Any]:
    content = files("policypress.training").joinpath("published", f"{algorithm}.yml").read_text(encoding="utf-8")
    table: dict[str, Any] = yaml.safe_load(content)
    return table


def _names(environment: EnvironmentSpec) -> tuple[str, ...]:
    """Headings that fit, the most specific first."""
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
