"""Spaces from the readable fields that Stable-Baselines3 stores beside each pickled one.

Every gym and gymnasium version is understood: ``shape`` or ``_shape``, bounds as numpy prints them, with or
without ``low_repr``/``high_repr``, dict spaces as their printed form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from policypress.agents.sb3.space_text import Call, SpaceTextError, parse
from policypress_runtime.contract import Box, DictSpace, Discrete, MultiBinary, MultiDiscrete, Space, box
from policypress_runtime.errors import DamagedAgentError, UndeterminedAgentError, UnsupportedAgentError
from policypress_runtime.reading_limits import shown

MAX_DIMENSIONS = 8
MAX_ELEMENTS = 10**8
_DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "bool")


@dataclass(frozen=True)
class ReadSpace:
    """A space, and whether the file tells all of it (bounds of large arrays are printed with omissions)."""

    space: Space
    bounds_known: bool = True


def observation_space(fields: Mapping[str, Any]) -> Space:
    """Observation space of an agent; bounds that are not told are infinite (0…255 for bytes).

    Raises:
        UnsupportedAgentError: a space that Stable-Baselines3 does not know, or nested dicts.
        DamagedAgentError: the fields contradict themselves.
    """
    return read_space(fields, "observation_space").space


def action_space(fields: Mapping[str, Any]) -> Space:
    """Action space of an agent.

    Raises:
        UndeterminedAgentError: the file leaves bounds out; ``--env`` determines them.
        UnsupportedAgentError: a space that Stable-Baselines3 does not know.
        DamagedAgentError: the fields contradict themselves.
    """
    read = read_space(fields, "action_space")
    if not read.bounds_known:
        raise UndeterminedAgentError(
            "The agent's file does not state all bounds of its action space.",
            got=f"a shortened printout: {str(fields.get('low'))[:60]!r}",
            expected="every bound",
            hint="Name the environment: --env ID.",
        )
    if isinstance(read.space, DictSpace):
        raise UnsupportedAgentError(
            "Dict action spaces are not supported.", got=repr(read.space), expected="Box, Discrete or Multi*"
        )
    return read.space


def read_space(fields: Mapping[str, Any], name: str) -> ReadSpace:
    """Space from its stored fields; ``name`` is what to call it in messages.

    Raises:
        UnsupportedAgentError: a space that Stable-Baselines3 does not know.
        DamagedAgentError: the fields contradict themselves.
    """
    kind = str(fields.get(":type:", "")).removesuffix("'>").rpartition(".")[2]
    try:
        match kind:
            case "Box":
                return _box_from_fields(fields)
            case "Discrete":
                return ReadSpace(Discrete(_count(fields["n"]), _integer(fields.get("start") or 0)))
            case "MultiDiscrete":
                return ReadSpace(MultiDiscrete(_counts(_value(fields["nvec"]))))
            case "MultiBinary":
                return ReadSpace(MultiBinary(_bits(_value(fields["n"]))))
            case "Dict":
                return _dict_from_text(_value(fields["spaces"]), name)
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise DamagedAgentError(
            f"The agent's {name} cannot be read.",
            got=f"{kind} with {type(error).__name__}: {str(error)[:200]}",
            expected="the fields that gym or gymnasium spaces have",
        ) from error
    raise UnsupportedAgentError(
        f"The agent's {name} has an unsupported type.",
        got=shown(fields.get(":type:")),
        expected="Box, Discrete, MultiDiscrete, MultiBinary, or Dict of these for observations",
    )


def _value(stored: Any) -> Any:
    return parse(stored) if isinstance(stored, str) else stored


def _integer(stored: Any) -> int:
    value = _value(stored)
    if isinstance(value, Call) and len(value.arguments) == 1:
        value = value.arguments[0]
    if isinstance(value, bool) or not isinstance(value, int):
        raise SpaceTextError(f"{shown(stored)} as an integer")
    return value


def _count(stored: Any) -> int:
    count = _integer(stored)
    if not 1 <= count <= MAX_ELEMENTS:
        raise SpaceTextError(f"{count} choices")
    return count


def _counts(stored: Any) -> tuple[int, ...]:
    if not isinstance(stored, list) or not stored or ... in stored:
        raise SpaceTextError(f"{shown(stored)} as a list of counts")
    return tuple(_count(item) for item in stored)


def _bits(stored: Any) -> int:
    counts = _counts(stored) if isinstance(stored, list) else (_count(stored),)
    if len(counts) != 1:
        raise UnsupportedAgentError(
            "MultiBinary spaces of several dimensions are not supported.", got=str(counts), expected="one number"
        )
    return counts[0]


def _shape(stored: Any) -> tuple[int, ...]:
    if not isinstance(stored, list | tuple) or len(stored) > MAX_DIMENSIONS:
        raise SpaceTextError(f"{shown(stored)} as a shape")
    shape = tuple(_count(item) for item in stored)
    if math.prod(shape) > MAX_ELEMENTS:
        raise SpaceTextError(f"shape {shape}")
    return shape


def _dtype(stored: Any) -> str:
    name = str(stored).removesuffix("'>").rpartition(".")[2].removeprefix("<class '").rstrip("_")
    if name not in _DTYPES:
        raise SpaceTextError(f"{shown(stored)} as a dtype")
    return name


def _box_from_fields(fields: Mapping[str, Any]) -> ReadSpace:
    shape = _shape(_value(fields["_shape"] if "_shape" in fields else fields["shape"]))
    dtype = _dtype(fields["dtype"])
    low = _bound(fields["low"], fields.get("low_repr"))
    high = _bound(fields["high"], fields.get("high_repr"))
    return _box(shape, dtype, low, high)


def _bound(stored: Any, short: Any) -> Any:
    """The full printout if it is one, else the short one, which stands only for uniform bounds."""
    value = _value(stored)
    if _omits(value) and isinstance(short, str):
        shortened = _value(short)
        if isinstance(shortened, int | float):
            return shortened
    return value


def _omits(value: Any) -> bool:
    return value is ... or (isinstance(value, list) and any(_omits(item) for item in value))


def _flat(value: Any) -> list[float]:
    if isinstance(value, list):
        return [number for item in value for number in _flat(item)]
    if value is ...:
        return []
    if isinstance(value, bool):
        return [float(value)]
    if not isinstance(value, int | float) or math.isnan(value):
        raise SpaceTextError(f"{shown(value)} as a bound")
    return [float(value)]


def _box(shape: tuple[int, ...], dtype: str, low: Any, high: Any) -> ReadSpace:
    known = not (_omits(low) or _omits(high))
    bounds = [_expanded(value, shape, infinite) for value, infinite in ((low, -math.inf), (high, math.inf))]
    lower, upper = (_rounded(bound, dtype) for bound in bounds)
    if not np.all(lower <= upper):
        raise SpaceTextError("a lower bound above the upper one")
    return ReadSpace(box(shape, dtype, lower, upper), known)


def _expanded(value: Any, shape: tuple[int, ...], infinite: float) -> npt.NDArray[np.float64]:
    numbers = _flat(value)
    if _omits(value):
        # What is printed of an omitted bound is its corners: alike, they stand for all of it.
        return np.asarray(numbers[0] if numbers and len(set(numbers)) == 1 else infinite)
    if not isinstance(value, list):
        return np.asarray(numbers[0])
    if len(numbers) != math.prod(shape):
        raise SpaceTextError(f"{len(numbers)} bounds for shape {shape}")
    return np.asarray(numbers)


def _rounded(bound: npt.NDArray[np.float64], dtype: str) -> npt.NDArray[np.float64]:
    """Printed decimals back to the number that was printed."""
    if dtype in ("float16", "float32"):
        with np.errstate(over="ignore"):
            return bound.astype(dtype).astype(np.float64)
    return bound


def _dict_from_text(value: Any, name: str) -> ReadSpace:
    pairs = _pairs(value)
    known = True
    spaces: list[tuple[str, Space]] = []
    for key, item in pairs:
        if not isinstance(item, Call):
            raise SpaceTextError(f"{shown(item)} as a space")
        read = _space_from_call(item, name)
        if isinstance(read.space, DictSpace):
            raise UnsupportedAgentError(
                f"The agent's {name} nests dicts.", got=f"{key!r}: Dict", expected="one level of keys"
            )
        known = known and read.bounds_known
        spaces.append((key, read.space))
    if len({key for key, _ in spaces}) != len(spaces) or not spaces:
        raise SpaceTextError("no keys, or a key twice")
    return ReadSpace(DictSpace(tuple(spaces)), known)


def _pairs(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Call) and value.name.rpartition(".")[2] in ("OrderedDict", "Dict", "dict"):
        if not value.arguments:
            return list(value.named.items())
        value = value.arguments[0]
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, list) and all(isinstance(p, list) and len(p) == 2 and isinstance(p[0], str) for p in value):
        return [(pair[0], pair[1]) for pair in value]
    raise SpaceTextError(f"{str(value)[:80]!r} as a dict of spaces")


def _space_from_call(call: Call, name: str) -> ReadSpace:
    arguments = call.arguments
    match call.name.rpartition(".")[2]:
        case "Box":
            return _box_from_call(arguments)
        case "Discrete":
            return ReadSpace(Discrete(_count(arguments[0]), _integer(call.named.get("start", 0))))
        case "MultiDiscrete":
            return ReadSpace(MultiDiscrete(_counts(arguments[0])))
        case "MultiBinary":
            return ReadSpace(MultiBinary(_bits(arguments[0])))
        case "Dict":
            return ReadSpace(DictSpace(()))
    raise UnsupportedAgentError(
        f"The agent's {name} holds a space that is not supported.",
        got=call.name,
        expected="Box, Discrete, MultiDiscrete or MultiBinary",
    )


def _box_from_call(arguments: tuple[Any, ...]) -> ReadSpace:
    # gym printed Box(3,) before 0.18, with neither bounds nor dtype.
    if all(isinstance(argument, int) for argument in arguments):
        return ReadSpace(Box(_shape(list(arguments)), "float32", (-math.inf,), (math.inf,)), bounds_known=False)
    if len(arguments) != 4:
        raise SpaceTextError(f"a Box of {len(arguments)} arguments")
    low, high, shape, dtype = arguments
    return _box(_shape(shape), _dtype(dtype), low, high)
