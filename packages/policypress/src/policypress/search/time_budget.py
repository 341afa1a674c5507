"""The time that a search may take: what is kept back for measuring costs, what is left, and what cannot be left out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

COSTS_SHARE, MOST_FOR_COSTS_S = 0.2, 240.0
"""Of the time, the share that is kept back for measuring costs, and the most of it."""
LATE = 1.1
"""A search ends within so many times its budget."""
MOST_FOR_CERTIFICATE = 0.5
"""Of the searching time, the most that is kept back for a certificate."""
# A fixed piece of work takes so long on one core of a server of 3 GHz.
_REFERENCE_S = 0.012


@dataclass
class TimeBudget:
    """Counts from the moment when it is made.

    Args:
        total_s: what the user allows; :meth:`allow` raises it to what cannot be left out.
        costs: whether costs are measured at the end.
        clock: gives the time in seconds.
    """

    total_s: float
    costs: bool = True
    clock: Callable[[], float] = time.monotonic
    _began_s: float = field(init=False)
    _certificate_s: float = 0.0

    def __post_init__(self) -> None:
        self._began_s = self.clock()

    @property
    def searching_s(self) -> float:
        """The part that is not kept back for costs."""
        return self.total_s - (min(COSTS_SHARE * self.total_s, MOST_FOR_COSTS_S) if self.costs else 0.0)

    def elapsed_s(self) -> float:
        """Since the start."""
        return self.clock() - self._began_s

    def keep_for_certificate(self, seconds: float) -> None:
        """Keep so much of the searching time back from building and racing, at most half of it."""
        self._certificate_s = min(seconds, MOST_FOR_CERTIFICATE * self.searching_s)

    @property
    def exploring_s(self) -> float:
        """The part in which candidates are built and raced."""
        return self.searching_s - self._certificate_s

    def spent(self) -> float:
        """Share of the exploring time that is over."""
        return self.elapsed_s() / self.exploring_s

    def left_s(self, share: float = 1.0) -> float:
        """Until ``share`` of the exploring time is over; negative when it is."""
        return share * self.exploring_s - self.elapsed_s()

    def left_for_certificate_s(self, costs_s: float) -> float:
        """Until the time is over, but for ``costs_s``, the least that measuring costs takes."""
        return self.total_s - (costs_s if self.costs else 0.0) - self.elapsed_s()

    def left_for_costs_s(self) -> float:
        """Until the whole time is over."""
        return self.total_s - self.elapsed_s()

    def allow(self, needed_s: float) -> str | None:
        """Raise the budget to ``needed_s`` where it is less by more than a tenth; says so then."""
        if needed_s <= LATE * self.total_s:
            return None
        told = (
            f"A budget of {self.total_s / 60:.2g} minutes is less than what cannot be left out: the baseline's "
            f"episodes, one certificate and its costs take about {needed_s / 60:.2g} minutes here."
        )
        self.total_s = needed_s
        return told


def slowness(clock: Callable[[], float] = time.perf_counter) -> float:
    """How many times longer this machine takes, as busy as it is, than one core of a server of 3 GHz."""
    times = []
    for _ in range(3):
        start_s = clock()
        sum(range(1_000_000))
        times.append(clock() - start_s)
    return max(sorted(times)[1] / _REFERENCE_S, 0.5)
