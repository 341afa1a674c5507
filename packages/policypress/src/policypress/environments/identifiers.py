"""Environment ids: which registered environment stands for the one an agent names.

Ids move: a version is removed, or stays registered and cannot be made any more. Such an id is mapped to the nearest
newer version that works, and the mapping is always told. Two exceptions to "nearest newer" are facts of the field:
the MuJoCo environments v0-v3 go to v4 (same physics and observations; v5 changed both), and ``Pusher-v4`` exists only
for MuJoCo before 3, so Pusher goes to v5.
"""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
import re
import shlex
from dataclasses import dataclass

from gymnasium.envs.registration import EnvSpec, get_env_id, parse_env_id, registry
from gymnasium.error import Error as GymnasiumError

from policypress_runtime.errors import MissingDependencyError, UnknownEnvironmentError

_NAMES_SHOWN = 4
_MUJOCO_MODULE = "gymnasium.envs.mujoco."
# Where the ids of packages that are not installed are found; the user's module import registers them.
_ATARI = re.compile(r"^ALE/|NoFrameskip-v\d+$")
_ELSEWHERE = {
    "Bullet": "pybullet_envs_gymnasium",
    "Fetch": "gymnasium_robotics",
    "Adroit": "gymnasium_robotics",
    "Hand": "gymnasium_robotics",
    "Panda": "panda_gym",
    "MiniGrid": "minigrid",
    "BabyAI": "minigrid",
    "highway": "highway_env",
    "parking": "highway_env",
    "procgen": "procgen",
}


@dataclass(frozen=True)
class Resolved:
    """The id to make, and a notice if it is not the requested one."""

    id: str
    notice: str | None = None


def module_of(env_id: str) -> str | None:
    """The module part of ``package.module:Env-v0``, or None."""
    return env_id.split(":", 1)[0] if ":" in env_id else None


def resolve(env_id: str) -> Resolved:
    """The registered id that stands for ``env_id``.

    ``module:Env-v0`` is returned as it is: what it registers is known only after its module is imported.

    Raises:
        UnknownEnvironmentError: nothing registered has this name; the message has the nearest ids.
    """
    if module_of(env_id) is not None:
        return Resolved(env_id)
    try:
        namespace, name, version = parse_env_id(env_id)
    except GymnasiumError as error:
        raise UnknownEnvironmentError(
            "This is not an environment id.",
            got=repr(env_id),
            expected="a form like HalfCheetah-v4, ALE/Pong-v5 or package.module:MyEnv-v0",
            hint="Give an id of this form: --env ID.",
        ) from error
    if env_id not in registry and not same_name(env_id):
        _register_atari()
    spec = registry.get(env_id)
    if spec is not None and can_be_made(spec):
        return Resolved(env_id)
    newer = [v for v in _versions(namespace, name) if version is None or v > version]
    if not newer:
        raise _unknown(env_id)
    chosen = get_env_id(namespace, name, max(newer) if version is None else min(newer))
    return Resolved(chosen, _notice(env_id, chosen, version))


def same_name(env_id: str) -> list[str]:
    """Registered ids that can be made and differ from ``env_id`` in the version alone, ascending; itself included."""
    namespace, name, _ = parse_env_id(env_id)
    return [get_env_id(namespace, name, version) for version in _versions(namespace, name)]


def can_be_made(spec: EnvSpec) -> bool:
    """Whether a registered environment still works with the installed packages."""
    entry = spec.entry_point
    if callable(entry) and getattr(entry, "__name__", "") == "_raise_mujoco_py_error":
        return False  # gymnasium keeps MuJoCo v2 and v3 registered to a function that raises
    return not (spec.id == "Pusher-v4" and is_mujoco(spec) and _mujoco_major() >= 3)


def is_mujoco(spec: EnvSpec) -> bool:
    """Whether this is one of gymnasium's own MuJoCo environments."""
    return isinstance(spec.entry_point, str) and spec.entry_point.startswith(_MUJOCO_MODULE)


def _mujoco_major() -> int:
    try:
        return int(importlib.metadata.version("mujoco").split(".")[0])
    except importlib.metadata.PackageNotFoundError:
        return 0


def _versions(namespace: str | None, name: str) -> list[int]:
    return sorted(
        spec.version
        for spec in registry.values()
        if spec.namespace == namespace and spec.name == name and spec.version is not None and can_be_made(spec)
    )


def _notice(env_id: str, chosen: str, version: int | None) -> str:
    if version is None:
        return f"{env_id} has no version; the newest, {chosen}, is used."
    text = f"{env_id} no longer exists; {chosen} is used instead. Returns may differ from those of {env_id}."
    spec = registry[chosen]
    if is_mujoco(spec) and version < 4 <= (spec.version or 0):
        text += (
            " Its model and rewards are those of v2 and v3."
            if spec.version == 4
            else " Version 5 changed models, observations or rewards: check the return."
        )
    return text


def _register_atari() -> None:
    """Register the Atari games when an unknown id is requested."""
    if importlib.util.find_spec("ale_py") is None:
        return
    import ale_py
    from gymnasium import register_envs

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # else it prints a banner at every start
    register_envs(ale_py)


def _unknown(env_id: str) -> UnknownEnvironmentError:
    if _ATARI.search(env_id) and importlib.util.find_spec("ale_py") is None:
        raise MissingDependencyError(
            "Atari games are an extra, which is not installed.",
            got=env_id,
            expected="ale-py and OpenCV",
            hint='pip install "policypress[atari]"',
        )
    known = sorted(key for key, spec in registry.items() if can_be_made(spec))
    versions = same_name(env_id)
    near = versions or difflib.get_close_matches(env_id, known, n=_NAMES_SHOWN, cutoff=0.5)
    package = next((module for word, module in _ELSEWHERE.items() if word in env_id), None)
    if package is not None:
        hint = f"It is in the package {package}: install it and give --env {shlex.quote(f'{package}:{env_id}')}."
    else:
        hint = "Give another id with --env, or the module that registers it: --env package.module:MyEnv-v0."
    return UnknownEnvironmentError(
        "No environment is registered under this id.",
        got=env_id,
        expected=", ".join(near) if near else "the id of a registered environment",
        hint=hint,
    )
