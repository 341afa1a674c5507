"""Falls: how often a policy fails, which a mean return may hide, with a bound that is valid at any time.

A walking policy may keep 99 % of the return and fall where the agent did not. What a fall is, is said before the
first episode counts: the environment terminated it, or its return lies below a threshold, or its file says so.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from policypress.measurement.certificate.capital import log_capital
from policypress.measurement.certificate.fall_rule import FallLimit
from policypress.measurement.certificate.rates import rate_upper_bound

SHARE_OF_ERROR = 0.2
"""Of the error of a certificate, the share that a stated limit of falls spends; the return has the rest."""
_BISECTIONS = 30


@dataclass(frozen=True)
class ObservedFalls:
    """Which episodes were falls; ``rule`` says what one is, ``limit`` what is to be certified, if anything.

    The i-th episodes of both may be on one seed, or on any others.
    """

    rule: str
    candidate: tuple[bool, ...]
    baseline: tuple[bool, ...]
    limit: FallLimit | None = None


@dataclass(frozen=True)
class FallRates:
    """Falls of candidate and baseline, and bounds of their rates, each wrong with a probability of at most ``alpha``.

    ``excess_upper`` bounds by how much the candidate's rate is above the baseline's, where ``at_most`` speaks of that
    (``over_baseline``). ``held`` says whether the bound that a limit was stated for is at most ``at_most``.
    """

    rule: str
    count: int
    episodes: int
    baseline_count: int
    baseline_episodes: int
    rate_upper: float
    baseline_rate_upper: float
    alpha: float
    at_most: float | None = None
    over_baseline: bool = False
    excess_upper: float | None = None

    @property
    def limit(self) -> FallLimit | None:
        """What was to be certified."""
        return None if self.at_most is None else FallLimit(self.at_most, self.over_baseline)

    @property
    def bound(self) -> float:
        """The bound of what is limited: of the rate, or of how far it is above the baseline's."""
        return self.rate_upper if self.excess_upper is None else self.excess_upper

    @property
    def held(self) -> bool | None:
        """Whether the stated limit is certified; None without one."""
        return None if self.at_most is None else self.bound <= self.at_most

    def to_json(self) -> dict[str, Any]:
        """JSON form: every field, and whether the limit holds."""
        return {**asdict(self), "held": self.held}


def fall_rates(falls: ObservedFalls, alpha: float) -> FallRates:
    """The falls that were seen, and their bounds.

    >>> found = fall_rates(ObservedFalls("it fell", (False,) * 200, (False,) * 200, FallLimit(0.05)), 0.01)
    >>> found.held, round(found.rate_upper, 4)
    (True, 0.0252)
    """
    own, base, limit = sum(falls.candidate), sum(falls.baseline), falls.limit
    over = limit is not None and limit.over_baseline
    return FallRates(
        falls.rule,
        own,
        len(falls.candidate),
        base,
        len(falls.baseline),
        rate_upper_bound(own, len(falls.candidate), alpha),
        rate_upper_bound(base, len(falls.baseline), alpha),
        alpha,
        None if limit is None else limit.rate,
        over,
        excess_upper_bound(falls, alpha) if over else None,
    )


def excess_upper_bound(falls: ObservedFalls, alpha: float) -> float:
    """The least excess of the candidate's rate of falls over the baseline's that is refuted, valid at any time.

    Bets on the mean of the differences of falls, episode by episode (−1, 0 or 1), that it is at most the excess: no
    more is assumed than that the pairs are drawn alike, so it does not matter whether their seeds are the same.
    """
    count = min(len(falls.candidate), len(falls.baseline))
    spared = np.array(falls.baseline[:count], np.float64) - np.array(falls.candidate[:count], np.float64)
    low, high = -1.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if log_capital(spared, -middle, -1.0) >= -math.log(alpha):
            high = middle
        else:
            low = middle
    return high
