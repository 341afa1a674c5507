"""The artifact's contract, as plain data: spaces, environment, what is folded in, what it was made from.

No dependency beyond numpy. Everything here is frozen, compares by value and has a JSON form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from policypress.errors import ArtifactError

SCHEMA = 1
METADATA_KEY = "policypress.contract"
# Beside it where integers are narrower than what holds them: JSON, name of the initializer → bits.
INTEGER_BITS_KEY = "policypress.integer_bits"

Json = dict[str, Any]


def _bounds_to_json(values: tuple[float, ...]) -> list[float | str]:
    return [v if math.isfinite(v) else str(v) for v in values]


def _bounds_from_json(values: list[float | str]) -> tuple[float, ...]:
    return tuple(float(v) for v in values)


@dataclass(frozen=True)
class Box:
    """Box space. ``low``/``high`` hold one number if it is the same everywhere, else all, row-major."""

    shape: tuple[int, ...]
    dtype: str
    low: tuple[float, ...]
    high: tuple[float, ...]

    def bounds(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Both bounds as arrays of ``shape``."""
        low = np.broadcast_to(np.asarray(self.low).reshape(self._stored(self.low)), self.shape)
        high = np.broadcast_to(np.asarray(self.high).reshape(self._stored(self.high)), self.shape)
        return low.astype(np.float64), high.astype(np.float64)

    def _stored(self, values: tuple[float, ...]) -> tuple[int, ...]:
        return () if len(values) == 1 else self.shape

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


# Run-time checkers do not count Python's numbers as ArrayLike.
Bound = npt.ArrayLike | float | int


def box(shape: tuple[int, ...], dtype: str, low: Bound, high: Bound) -> Box:
    """Box from arrays or scalars, with uniform bounds stored once."""

    def compact(values: Bound) -> tuple[float, ...]:
        flat = np.asarray(values, dtype=np.float64).reshape(-1)
        if flat.size > 1 and bool(np.all(flat == flat[0])):
            flat = flat[:1]
        return tuple(float(v) for v in flat)

    return Box(tuple(int(n) for n in shape), dtype, compact(low), compact(high))


@dataclass(frozen=True)
class Discrete:
    """Integers ``start … start + n - 1``."""

    n: int
    start: int = 0


@dataclass(frozen=True)
class MultiDiscrete:
    """Several independent discrete choices with ``nvec[i]`` options each."""

    nvec: tuple[int, ...]


@dataclass(frozen=True)
class MultiBinary:
    """``n`` independent bits."""

    n: int


@dataclass(frozen=True)
class DictSpace:
    """Named sub-spaces, in the order in which the network reads them."""

    spaces: tuple[tuple[str, Space], ...]


Space = Box | Discrete | MultiDiscrete | MultiBinary | DictSpace


def space_to_json(space: Space) -> Json:
    """JSON form of a space; infinite bounds become strings."""
    match space:
        case Box():
            return {
                "kind": "box",
                "shape": list(space.shape),
                "dtype": space.dtype,
                "low": _bounds_to_json(space.low),
                "high": _bounds_to_json(space.high),
            }
        case Discrete():
            return {"kind": "discrete", "n": space.n, "start": space.start}
        case MultiDiscrete():
            return {"kind": "multi_discrete", "nvec": list(space.nvec)}
        case MultiBinary():
            return {"kind": "multi_binary", "n": space.n}
        case DictSpace():
            return {"kind": "dict", "spaces": [[k, space_to_json(v)] for k, v in space.spaces]}


def space_from_json(data: Mapping[str, Any]) -> Space:
    """Inverse of :func:`space_to_json`.

    Raises:
        ArtifactError: the kind is unknown.
    """
    kind = data.get("kind")
    if kind == "box":
        return Box(
            tuple(data["shape"]),
            data["dtype"],
            _bounds_from_json(data["low"]),
            _bounds_from_json(data["high"]),
        )
    if kind == "discrete":
        return Discrete(data["n"], data["start"])
    if kind == "multi_discrete":
        return MultiDiscrete(tuple(data["nvec"]))
    if kind == "multi_binary":
        return MultiBinary(data["n"])
    if kind == "dict":
        return DictSpace(tuple((k, space_from_json(v)) for k, v in data["spaces"]))
    raise ArtifactError(
        "The contract names a space this version does not know.",
        got=repr(kind),
        expected="box, discrete, multi_discrete, multi_binary or dict",
        hint="Upgrade policypress.",
    )


def action_width(space: Space) -> int:
    """Number of scores or values a policy's last layer has for ``space``."""
    match space:
        case Box():
            return space.size
        case Discrete():
            return space.n
        case MultiDiscrete():
            return sum(space.nvec)
        case MultiBinary():
            return space.n
        case DictSpace():
            raise ArtifactError("Dict action spaces do not exist in this field.", got=repr(space))


@dataclass(frozen=True)
class WrapperSpec:
    """A wrapper on the allow-list (or a user's ``package:Class``) with its keyword arguments."""

    name: str
    kwargs: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class EnvironmentSpec:
    """How to make the environment: id (``Hopper-v4`` or ``package.module:MyEnv-v0``), arguments, wrappers.

    ``trained_id`` is the id the agent was trained on, when the id had to be mapped to a current one.
    Wrappers apply in order, the first one innermost.
    """

    id: str
    kwargs: tuple[tuple[str, Any], ...] = ()
    wrappers: tuple[WrapperSpec, ...] = ()
    trained_id: str | None = None

    def to_json(self) -> Json:
        """JSON form."""
        return {
            "id": self.id,
            "kwargs": dict(self.kwargs),
            "wrappers": [{"name": w.name, "kwargs": dict(w.kwargs)} for w in self.wrappers],
            "trained_id": self.trained_id,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> EnvironmentSpec:
        """Inverse of :meth:`to_json`."""
        wrappers = tuple(WrapperSpec(w["name"], tuple(w["kwargs"].items())) for w in data["wrappers"])
        return EnvironmentSpec(data["id"], tuple(data["kwargs"].items()), wrappers, data["trained_id"])


_SUPPLIES = {
    "TimeFeatureWrapper": "time_feature",
    "frame_stack": "frame_stack",
    "AtariWrapper": "atari_preprocessing",
    "HistoryWrapper": "history",
    "HistoryWrapperObsDict": "history",
    "ZeroContactForces": "zero_contact_forces",
}


# Packages whose wrappers the environments' list stands for: agents' files name them with the module in front.
_WRAPPER_MODULES = (
    "stable_baselines3.common.atari_wrappers",
    "sb3_contrib.common.wrappers",
    "rl_zoo3.wrappers",
    "rl_zoo.wrappers",
    "utils.wrappers",
    "gymnasium.wrappers",
    "gym.wrappers",
)


def is_wrapper_module(module: str) -> bool:
    """Whether ``module`` is, or lies in, a package whose wrappers are known by their short names."""
    return any(f"{module}.".startswith(f"{known}.") for known in _WRAPPER_MODULES)


def supplied_by(wrappers: tuple[WrapperSpec, ...]) -> tuple[str, ...]:
    """What wrappers put into the observation, so that a caller without them has to supply it."""
    return tuple(dict.fromkeys(_SUPPLIES[wrapper.name] for wrapper in wrappers if wrapper.name in _SUPPLIES))


@dataclass(frozen=True)
class TensorSpec:
    """One named input or output: its dtype, and its shape without the free batch dimension."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Quantity:
    """A measured mean with its confidence interval, e.g. the return over ``count`` episodes."""

    mean: float
    lower: float
    upper: float
    confidence: float
    count: int


Precision = Literal["fp32", "int8", "int7", "int6", "int5", "int4", "int3", "int2", "mixed"]


@dataclass(frozen=True)
class Contract:
    """Everything a caller needs to use the artifact, and where it came from.

    ``folded`` lists what the graph does by itself, in order (``normalise``, ``normalise_clip``,
    ``transpose_image``, ``scale_image``, ``one_hot``, ``squash``, ``unscale``, ``clip``, ``argmax``, ``threshold``);
    ``caller_supplies`` what the caller must still put into the observation (for example a time feature).
    ``batch_independent`` is false where dynamic quantization takes its scales from the whole batch, so that one
    observation at a time is the only well-defined use.
    """

    algorithm: str
    observation_space: Space
    action_space: Space
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    folded: tuple[str, ...]
    recipe: str
    recipe_hash: str
    environment: EnvironmentSpec | None = None
    caller_supplies: tuple[str, ...] = ()
    parent_sha256: str | None = None
    precision: Precision = "fp32"
    policypress_version: str = ""
    measured_return: Quantity | None = None
    batch_independent: bool = True
    schema: int = field(default=SCHEMA)

    def to_json(self) -> Json:
        """JSON form, as it stands in ``metadata_props`` and in the sidecar."""
        data = asdict(self)
        data["observation_space"] = space_to_json(self.observation_space)
        data["action_space"] = space_to_json(self.action_space)
        data["environment"] = None if self.environment is None else self.environment.to_json()
        return cast(Json, _listify(data))

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Contract:
        """Inverse of :meth:`to_json`.

        Raises:
            ArtifactError: a newer schema, or a field is missing.
        """
        if data.get("schema") != SCHEMA:
            raise ArtifactError(
                "The artifact's contract has another schema.",
                got=f"schema {data.get('schema')!r}",
                expected=f"schema {SCHEMA}",
                hint="Upgrade policypress, or write the artifact again.",
            )
        try:
            return Contract(
                algorithm=data["algorithm"],
                observation_space=space_from_json(data["observation_space"]),
                action_space=space_from_json(data["action_space"]),
                inputs=tuple(_tensor(t) for t in data["inputs"]),
                outputs=tuple(_tensor(t) for t in data["outputs"]),
                folded=tuple(data["folded"]),
                recipe=data["recipe"],
                recipe_hash=data["recipe_hash"],
                environment=None if data["environment"] is None else EnvironmentSpec.from_json(data["environment"]),
                caller_supplies=tuple(data["caller_supplies"]),
                parent_sha256=data["parent_sha256"],
                precision=data["precision"],
                policypress_version=data["policypress_version"],
                measured_return=None if data["measured_return"] is None else Quantity(**data["measured_return"]),
                batch_independent=data["batch_independent"],
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ArtifactError(
                "The artifact's contract is incomplete.",
                got=f"{type(error).__name__}: {error}",
                expected=f"every field of contract schema {SCHEMA}",
                hint="Write the artifact again with `policypress export`.",
            ) from error

    def with_return(self, measured: Quantity) -> Contract:
        """The same contract with the return that was measured."""
        return replace(self, measured_return=measured)


def _tensor(data: Mapping[str, Any]) -> TensorSpec:
    return TensorSpec(data["name"], data["dtype"], tuple(data["shape"]))


def _listify(value: object) -> object:
    if isinstance(value, dict):
        return {key: _listify(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_listify(item) for item in value]
    return value
