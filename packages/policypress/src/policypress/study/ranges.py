"""Ranges in study files: ``0..9`` and ``0.05..0.70/0.05`` stand for every value between, both ends included."""

from __future__ import annotations

import itertools
import re
from decimal import Decimal

from policypress_runtime.errors import StudyInputError

MOST_VALUES = 100_000
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?:/({_NUMBER}))?")


def values(text: str) -> tuple[str, ...]:
    """Every value of the range ``low..high`` or ``low..high/step``, as text; the step is 1 where none is given.

    Decimal arithmetic, so that 0.15 is 0.15 and the last value is there.

    >>> values("0.05..0.2/0.05")
    ('0.05', '0.10', '0.15', '0.20')
    >>> values("3..5")
    ('3', '4', '5')

    Raises:
        StudyInputError: no range, or one without values.
    """
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        raise StudyInputError("This is not a range.", got=repr(text), expected="low..high or low..high/step, as 0..9")
    low, high, step = (Decimal(group) if group else Decimal(1) for group in match.groups())
    if step <= 0 or high < low:
        raise StudyInputError(
            "A range must go up from its first value to its last.",
            got=repr(text),
            expected="low <= high and a step > 0",
        )
    count = int((high - low) / step) + 1
    if count > MOST_VALUES:
        raise StudyInputError("A range has too many values.", got=f"{text}: {count}", expected=f"<= {MOST_VALUES}")
    return tuple(str(low + step * index) for index in range(count))


def expand(text: str) -> tuple[str, ...]:
    """``text`` once for every combination of the values of its ranges, the first range outermost.

    >>> expand("prune(l1, 0.1..0.3/0.1) > int8")
    ('prune(l1, 0.1) > int8', 'prune(l1, 0.2) > int8', 'prune(l1, 0.3) > int8')
    >>> expand("none")
    ('none',)

    Raises:
        StudyInputError: a range without values.
    """
    found = list(_RANGE.finditer(text))
    choices = [values(match.group()) for match in found]
    texts = []
    for chosen in itertools.product(*choices):
        result, end = "", 0
        for match, value in zip(found, chosen, strict=True):
            result, end = result + text[end : match.start()] + value, match.end()
        texts.append(result + text[end:])
    return tuple(texts)


def integers(item: int | str) -> tuple[int, ...]:
    """Whole numbers of a number or of a range.

    >>> integers("0..2")
    (0, 1, 2)

    Raises:
        StudyInputError: no whole numbers.
    """
    if isinstance(item, int):
        return (item,)
    found = values(item)
    try:
        return tuple(int(value) for value in found)
    except ValueError as error:
        raise StudyInputError("Integers are required here.", got=repr(item), expected="for example 0..9") from error
