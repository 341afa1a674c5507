"""The types that a contract's JSON may hold: each function checks one value, and gives it with its type.

A contract decides the C that is compiled and loaded, and is shown in every report. It is read from files that anybody
may have written, so nothing of it is used before it has passed here. No dependency beyond the standard library.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any, NoReturn, TypeVar

from policypress_runtime.errors import ArtifactError
from policypress_runtime.foreign_text import LIMIT, is_plain, plain, plain_lines

T = TypeVar("T")
MAX_JSON = 2**24
"""Characters of a contract. The largest part are bounds; a thousand times what an image of 84 × 84 × 4 pixels needs."""
MAX_SIZE = 10**8
"""Elements of an array, and choices of an action."""
MAX_AXES = 32
MAX_ITEMS = 10_000
MAX_DEPTH = 8
_INTEGER_LIMIT = 2**63
_NOT_FINITE = {"inf": math.inf, "-inf": -math.inf}
HINT = "Write the artifact again with `policypress export`."


def refused(where: str, got: object, expected: str) -> NoReturn:
    """Refuse the value ``got`` of the field ``where``.

    Raises:
        ArtifactError: always.
    """
    raise ArtifactError(
        "The artifact's contract is not valid.", got=f"{where}: {_told(got)}", expected=expected, hint=HINT
    )


def _told(value: object) -> str:
    # Of a large value only the kind: its text would be as large.
    small = isinstance(value, str | int | float | bool | None) or (isinstance(value, list | dict) and len(value) < 20)
    if isinstance(value, int) and abs(value) >= _INTEGER_LIMIT:
        return "an integer of more than 64 bits"
    return plain(repr(value), 200) if small else f"a {type(value).__name__}"


def parsed(content: str) -> Mapping[str, Any]:
    """The JSON object in ``content``.

    Raises:
        ArtifactError: it is none, or too large.
    """
    if len(content) > MAX_JSON:
        raise ArtifactError(
            "The artifact's contract is too large.",
            got=f"{len(content)} characters",
            expected=f"at most {MAX_JSON}",
            hint=HINT,
        )
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise ArtifactError(
            "The artifact's contract is not JSON.", got=plain(repr(content[:60])), expected="an object", hint=HINT
        )
    return data


def fields(value: object, where: str) -> Mapping[str, Any]:
    """An object."""
    if not isinstance(value, Mapping):
        refused(where, value, "an object")
    return value


def member(data: Mapping[str, Any], key: str, where: str = "") -> Any:
    """The member ``key`` of an object.

    Raises:
        ArtifactError: there is none.
    """
    if key not in data:
        raise ArtifactError(
            "The artifact's contract is incomplete.",
            got=f"no {where}{'.' if where else ''}{key}",
            expected="every field of its schema",
            hint=HINT,
        )
    return data[key]


def text(value: object, where: str, limit: int = LIMIT) -> str:
    """One line of at most ``limit`` characters, none of which steers a terminal or cannot be seen."""
    if not isinstance(value, str) or len(value) > limit or not is_plain(value):
        if isinstance(value, str):
            value = value[:200]
        refused(where, value, f"one line of at most {limit} printable characters")
    return value


def choice(value: object, where: str, choices: Collection[str]) -> str:
    """One of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        refused(where, value[:200] if isinstance(value, str) else value, ", ".join(choices))
    return value


def flag(value: object, where: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        refused(where, value, "true or false")
    return value


def integer(value: object, where: str, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``."""
    if type(value) is not int or not low <= value <= high:
        refused(where, value, f"a whole number from {low} to {high}")
    return value


def number(value: object, where: str) -> float:
    """A finite number."""
    # Integers of any length can be compared, and not all of them converted.
    if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:  # type: ignore[arg-type]
        refused(where, value, "a finite number")
    return float(value)  # type: ignore[arg-type]


def bound(value: object, where: str) -> float:
    """A number, or the text ``inf`` or ``-inf``."""
    return _NOT_FINITE[value] if isinstance(value, str) and value in _NOT_FINITE else number(value, where)


def items(value: object, where: str, each: Callable[[object, str], T], limit: int = MAX_ITEMS) -> tuple[T, ...]:
    """A list of at most ``limit`` values that all pass ``each``."""
    if not isinstance(value, list | tuple) or len(value) > limit:
        refused(where, value, f"a list of at most {limit}")
    return tuple(each(one, f"{where}[{place}]") for place, one in enumerate(value))


def shape(value: object, where: str) -> tuple[int, ...]:
    """Sizes of an array's axes."""
    sizes = items(value, where, lambda one, place: integer(one, place, 1, MAX_SIZE), MAX_AXES)
    if math.prod(sizes) > MAX_SIZE:
        refused(where, value, f"at most {MAX_SIZE} elements")
    return sizes


def settings(value: object, where: str) -> tuple[tuple[str, Any], ...]:
    """Keyword arguments by name: JSON values of a bounded depth."""
    return tuple((text(key, where), setting(one, f"{where}.{key}")) for key, one in fields(value, where).items())


def setting(value: object, where: str, depth: int = MAX_DEPTH) -> Any:
    """One keyword argument. Texts may have several lines; numbers need not be finite, as in ``(0.7, inf)``."""
    match value:
        case None | bool() | float():
            return value
        case int():
            return integer(value, where, -_INTEGER_LIMIT, 2 * _INTEGER_LIMIT)
        case str() if plain_lines(value) == value and len(value) <= MAX_ITEMS:
            return value
        case list() | tuple() if depth > 0 and len(value) <= MAX_ITEMS:
            return [setting(one, where, depth - 1) for one in value]
        case dict() if depth > 0 and len(value) <= MAX_ITEMS:
            return {text(key, where): setting(one, where, depth - 1) for key, one in value.items()}
        case _:
            refused(where, value, "a number, a text without control characters, or a list or an object of those")
