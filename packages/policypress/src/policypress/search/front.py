"""Which of many candidates are worth a race: the Pareto front, where bisection looks, and what is there twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from policypress.records import ArtifactRecord
from policypress.search.racing import Candidate

Item = TypeVar("Item")


def front(names: Sequence[str], value: Callable[[str], float], error: Callable[[str], float]) -> list[str]:
    """The names that no other beats in value and error, smallest value first: values rise, errors fall.

    >>> front(["a", "b", "c"], {"a": 1.0, "b": 2.0, "c": 3.0}.get, {"a": 0.3, "b": 0.4, "c": 0.1}.get)
    ['a', 'c']
    """
    chosen: list[str] = []
    least = float("inf")
    for name in sorted(names, key=lambda n: (value(n), error(n))):
        if error(name) < least:
            least = error(name)
            chosen.append(name)
    return chosen


def same_before(candidate: Candidate, others: Iterable[Candidate]) -> str:
    """Text of the first of ``others`` whose artifact is that of ``candidate`` but for the recipe's name, or ``""``.

    Ratios near each other leave a small layer with the same channels; one race is enough for both. Files differ in the
    recipe that they name, so the numbers decide: sizes, and both errors to their last bit.
    """
    numbers = _numbers(candidate)
    same = (one.text for one in others if one is not candidate and not one.same_as and _numbers(one) == numbers)
    return next(same, "") if numbers is not None else ""


def _numbers(candidate: Candidate) -> tuple[float, ...] | None:
    record = candidate.record
    if record is None or not record.parity_max_error:
        return None
    return (record.packed_bytes, record.parameters, record.macs, error_of(record), record.parity_max_error)


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """``count`` items that cut the list into equal parts; all of them where there are no more.

    >>> spread([0, 1, 2, 3, 4, 5, 6], 1), spread([0, 1, 2, 3, 4, 5, 6], 2)
    ([3], [2, 4])
    """
    if len(items) <= count:
        return list(items)
    return [items[(index + 1) * len(items) // (count + 1)] for index in range(count)]


def error_of(record: ArtifactRecord) -> float:
    """The artifact's action error; infinite where there is none."""
    return float("inf") if record.action_error is None else record.action_error


def known(value: float | None) -> float:
    """``value``; infinite where there is none."""
    return float("inf") if value is None else value
