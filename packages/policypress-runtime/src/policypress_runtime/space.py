"""Observation and action spaces, as plain data with a JSON form. No dependency beyond numpy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from policypress_runtime import contract_schema as schema
from policypress_runtime.errors import ArtifactError

Json = dict[str, Any]
DTYPES = (
    *("float16", "float32", "float64", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
)
"""Types of the elements of arrays, as numpy names them."""
NAME_LENGTH = 500
"""Characters of a name: of an environment, an input, an algorithm."""
_FAR = 2**62


def _bounds_to_json(values: tuple[float, ...]) -> list[float | str]:
    return [v if math.isfinite(v) else str(v) for v in values]


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


def space_from_json(data: object, where: str = "space", depth: int = schema.MAX_DEPTH) -> Space:
    """Inverse of :func:`space_to_json`.

    Args:
        data: what was read.
        where: its place in the contract, for errors.
        depth: how many spaces may lie in each other.

    Raises:
        ArtifactError: the kind is unknown, or a field has another type or impossible values.
    """
    found = schema.fields(data, where)
    kind = found.get("kind")
    if kind == "box":
        return _box_from_json(found, where)
    if kind == "discrete":
        n = schema.integer(schema.member(found, "n", where), f"{where}.n", 1, schema.MAX_SIZE)
        return Discrete(n, schema.integer(schema.member(found, "start", where), f"{where}.start", -_FAR, _FAR))
    if kind == "multi_discrete":
        return MultiDiscrete(_choices(schema.member(found, "nvec", where), f"{where}.nvec"))
    if kind == "multi_binary":
        return MultiBinary(schema.integer(schema.member(found, "n", where), f"{where}.n", 1, schema.MAX_SIZE))
    if kind == "dict" and depth > 0:
        members = schema.items(
            schema.member(found, "spaces", where), f"{where}.spaces", lambda one, at: _named_space(one, at, depth - 1)
        )
        return DictSpace(members)
    raise ArtifactError(
        "The contract names a space this version does not know.",
        got=f"{where}: {kind[:60]!r}" if isinstance(kind, str) else f"{where}: a {type(kind).__name__}",
        expected="box, discrete, multi_discrete, multi_binary or dict",
        hint="Upgrade policypress.",
    )


def _box_from_json(found: Mapping[str, Any], where: str) -> Box:
    shape = schema.shape(schema.member(found, "shape", where), f"{where}.shape")
    size = math.prod(shape)
    dtype = schema.choice(schema.member(found, "dtype", where), f"{where}.dtype", DTYPES)
    ends = []
    for key in ("low", "high"):
        values = schema.items(schema.member(found, key, where), f"{where}.{key}", schema.bound, max(size, 1))
        if len(values) not in (1, size):
            schema.refused(f"{where}.{key}", f"{len(values)} numbers", f"1 or {size} of them")
        ends.append(values)
    return Box(shape, dtype, ends[0], ends[1])


def _choices(value: object, where: str) -> tuple[int, ...]:
    options = schema.items(value, where, lambda one, at: schema.integer(one, at, 1, schema.MAX_SIZE))
    if sum(options) > schema.MAX_SIZE:
        schema.refused(where, f"{sum(options)} choices", f"at most {schema.MAX_SIZE} together")
    return options


def _named_space(value: object, where: str, depth: int) -> tuple[str, Space]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        schema.refused(where, value, "a name and a space")
    return schema.text(value[0], where, NAME_LENGTH), space_from_json(value[1], where, depth)


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
