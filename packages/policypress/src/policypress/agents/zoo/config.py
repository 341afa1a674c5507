"""What an RL Zoo experiment's YAML files say of the environment, its wrappers and its normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from policypress.agents.zoo.expressions import read_expression
from policypress_runtime.contract import WrapperSpec, is_wrapper_module, supplied_by
from policypress_runtime.errors import DamagedAgentError
from policypress_runtime.reading_limits import shown

# Only watching or recording: no observation and no action is changed.
_WITHOUT_EFFECT = ("VecMonitor", "Monitor")
# How the environment is shown has no part in how the agent acts.
_DISPLAY_ARGUMENTS = ("render_mode", "render", "renders")


@dataclass(frozen=True)
class ZooConfig:
    """Plain content of ``config.yml``, ``args.yml`` and ``env_kwargs.yml``.

    ``normalises`` is None where no ``config.yml`` says it; ``frame_stack`` is 1 without stacking.
    """

    algorithm: str | None = None
    environment_id: str | None = None
    environment_kwargs: tuple[tuple[str, Any], ...] = ()
    wrappers: tuple[WrapperSpec, ...] = ()
    normalises: bool | None = None
    frame_stack: int = 1
    policy_kwargs: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def caller_supplies(self) -> tuple[str, ...]:
        """What the wrappers add to the observation."""
        return supplied_by(self.wrappers)


def read_zoo_config(
    config: Mapping[str, Any] | None, arguments: Mapping[str, Any], environment_kwargs: Mapping[str, Any]
) -> ZooConfig:
    """Interpret the mappings of the three files; ``config`` is None where there is no ``config.yml``.

    Raises:
        UnsafeAgentError: an expression that would have to be executed.
        DamagedAgentError: a field of another form than the Zoo writes.
    """
    hyperparameters = config or {}
    wrappers = list(read_wrappers(hyperparameters.get("env_wrapper")))
    outer = list(read_wrappers(hyperparameters.get("vec_env_wrapper")))
    stack = hyperparameters.get("frame_stack")
    if stack is not None:
        outer.append(_frame_stack(stack))
    wrappers += [w for w in outer if w.name.rpartition(".")[2] not in _WITHOUT_EFFECT]
    return ZooConfig(
        algorithm=_text(arguments.get("algo")),
        environment_id=_text(arguments.get("env")),
        environment_kwargs=_environment_kwargs(arguments.get("env_kwargs"), environment_kwargs),
        wrappers=tuple(wrappers),
        normalises=None if config is None else _normalises(config.get("normalize")),
        frame_stack=_stacked(wrappers),
        policy_kwargs=_policy_kwargs(hyperparameters.get("policy_kwargs")),
        training={key: value for key, value in hyperparameters.items() if _is_plain(value)},
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _environment_kwargs(stored: Any, own_file: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    if stored is not None and not (isinstance(stored, dict) and all(isinstance(key, str) for key in stored)):
        raise _damaged("args.yml: env_kwargs", stored, "names and values")
    merged = {**(stored or {}), **own_file}
    return tuple((key, value) for key, value in merged.items() if key not in _DISPLAY_ARGUMENTS)


def read_wrappers(stored: Any) -> tuple[WrapperSpec, ...]:
    """Wrappers of an ``env_wrapper`` entry, innermost first.

    The Zoo allows a dotted name, a mapping from a dotted name to arguments, and a list of both. Names of the
    packages that the Zoo's own agents use are shortened to the class; any other stays as it is written, and
    whoever makes the environment decides on it.

    Raises:
        DamagedAgentError: another form.
    """
    if stored is None:
        return ()
    entries = stored if isinstance(stored, list | tuple) else [stored]
    found: list[WrapperSpec] = []
    for entry in entries:
        if isinstance(entry, str):
            found.append(_wrapper(entry, {}))
        elif isinstance(entry, dict) and len(entry) == 1:
            name, kwargs = next(iter(entry.items()))
            if not isinstance(name, str) or not (kwargs is None or isinstance(kwargs, dict)):
                raise _damaged("config.yml: env_wrapper", entry, "a name and its arguments")
            found.append(_wrapper(name, kwargs or {}))
        else:
            raise _damaged("config.yml: env_wrapper", entry, "a name, or a name with arguments")
    return tuple(found)


def _wrapper(dotted: str, kwargs: Mapping[Any, Any]) -> WrapperSpec:
    module, _, name = dotted.rpartition(".")
    if not all(isinstance(key, str) for key in kwargs):
        raise _damaged("config.yml: env_wrapper", kwargs, "names of arguments")
    if dotted.startswith("stable_baselines3.common.vec_env") and name == "VecFrameStack":
        return _frame_stack(kwargs.get("n_stack"))
    known = is_wrapper_module(module)
    return WrapperSpec(name if known else dotted, tuple(kwargs.items()))


def _frame_stack(count: Any) -> WrapperSpec:
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 1000:
        raise _damaged("config.yml: frame_stack", count, "a number of frames")
    return WrapperSpec("frame_stack", (("n_stack", count),))


def _stacked(wrappers: list[WrapperSpec]) -> int:
    return next((dict(w.kwargs)["n_stack"] for w in wrappers if w.name == "frame_stack"), 1)


def _normalises(stored: Any) -> bool:
    """Whether observations were normalised: ``true``, or the text of VecNormalize's arguments."""
    if isinstance(stored, str):
        stored = read_expression(stored, "config.yml: normalize")
    if isinstance(stored, dict):
        return bool(stored.get("norm_obs", True))
    return bool(stored)


def _policy_kwargs(stored: Any) -> Mapping[str, Any]:
    if isinstance(stored, str):
        stored = read_expression(stored, "config.yml: policy_kwargs")
    if stored is None:
        return {}
    if not isinstance(stored, dict):
        raise _damaged("config.yml: policy_kwargs", stored, "dict(...)")
    return stored


def _damaged(where: str, got: Any, expected: str) -> DamagedAgentError:
    return DamagedAgentError(f"{where} has a format that the RL Zoo does not write.", got=shown(got), expected=expected)
