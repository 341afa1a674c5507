"""The limits of a certificate: an episode counts at least the one and at most the other, declared before it is played.

What nothing bounds, nothing can be certified of: a failure in a million episodes that costs a billion would change the
mean. So what is certified is the mean of the returns, each counted as at least ``low`` and at most ``high``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from policypress_runtime.errors import StudyInputError

Floats = npt.NDArray[np.float64]
Source = Literal["stated", "environment", "episodes"]

MARGIN = 0.05
"""Limits that are taken from episodes lie so much of their range beyond the worst and the best of them."""
_LARGEST = 1e150
_SOURCES: dict[Source, str] = {
    "stated": "stated by the user",
    "environment": "what the environment's rewards allow",
    "episodes": "from the episodes before, with a margin",
}


@dataclass(frozen=True)
class Limits:
    """The lowest and the highest return that an episode counts as, and what each was taken from.

    >>> Limits(0.0, 1.0).clip([-3.0, 0.5, 2.0]).tolist()
    [0.0, 0.5, 1.0]
    """

    low: float
    high: float
    low_from: Source = "stated"
    high_from: Source = "stated"

    def __post_init__(self) -> None:
        if not (-_LARGEST <= self.low < self.high <= _LARGEST):
            raise StudyInputError(
                "An episode's return lies between two limits.",
                got=f"a worst return of {self.low:g} and a best return of {self.high:g}",
                expected=f"finite numbers up to {_LARGEST:g}, the worst below the best",
                hint="Choose other values for --worst-return and --best-return.",
            )

    def clip(self, returns: Iterable[float] | Floats) -> Floats:
        """``returns``, each counted as the limits count it."""
        return np.clip(np.asarray(list(returns), np.float64), self.low, self.high)

    def outside(self, returns: Iterable[float]) -> tuple[int, int]:
        """How many of ``returns`` lie below and above."""
        values = np.asarray(list(returns), np.float64)
        return int((values < self.low).sum()), int((values > self.high).sum())

    def in_words(self) -> str:
        """Both, and where they are from."""
        low, high = _SOURCES[self.low_from], _SOURCES[self.high_from]
        if low == high:
            return f"{self.low:g} and {self.high:g} ({low})"
        return f"{self.low:g} ({low}) and {self.high:g} ({high})"

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return {"low": self.low, "high": self.high, "low_from": self.low_from, "high_from": self.high_from}


def declared(
    returns: Iterable[float],
    *,
    worst: float | None = None,
    best: float | None = None,
    known: tuple[float | None, float | None] = (None, None),
    margin: float = MARGIN,
) -> Limits:
    """Limits from every episode so far, where they are neither stated nor known.

    Args:
        returns: of all episodes that were played for anything, none of which is certified with.
        worst: the worst return, as the user states it.
        best: the best return, as the user states it.
        known: the lowest and the highest return that the environment can give, where it is known.
        margin: share of the range that limits from episodes lie beyond.

    Raises:
        StudyInputError: there is nothing to take them from, or the stated ones cannot be limits.

    >>> declared([0.0, 10.0]).low, declared([0.0, 10.0], best=10.0).high
    (-0.5, 10.0)
    """
    values = np.asarray(list(returns), np.float64)
    values = values[np.isfinite(values)]
    low, low_from = _first(worst, known[0])
    high, high_from = _first(best, known[1])
    if low is None or high is None:
        if len(values) == 0:
            raise StudyInputError(
                "There are no episodes that the limits of a return could be taken from.",
                got="no episodes",
                expected="episodes, or both limits",
                hint="State them with --worst-return and --best-return.",
            )
        ends = [float(values.min()), float(values.max()), *(end for end in (low, high) if end is not None)]
        reach = max(ends) - min(ends) or abs(ends[0]) or 1.0
        low = float(values.min()) - margin * reach if low is None else low
        high = float(values.max()) + margin * reach if high is None else high
    return Limits(low, high, low_from, high_from)


def _first(stated: float | None, known: float | None) -> tuple[float | None, Source]:
    if stated is not None:
        return float(stated), "stated"
    return known, "episodes" if known is None else "environment"
