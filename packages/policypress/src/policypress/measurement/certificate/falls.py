"""Falls: how often a policy fails, which a mean return may hide, with a bound that is valid at any time.

A walking policy may keep 99 % of the return and fall where the agent did not. What a fall is, is said before the
first episode counts: the environment terminated it, or its return lies below a threshold, or its file says so.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from policypress.measurement.certificate.rates import rate_upper_bound

SHARE_OF_ERROR = 0.2
"""Of the error of a certificate, the share that a stated limit of falls spends; the return has the rest."""


@dataclass(frozen=True)
class ObservedFalls:
    """Which episodes were falls; ``rule`` says what one is, ``at_most`` the rate that is to be certified, if any."""

    rule: str
    candidate: tuple[bool, ...]
    baseline: tuple[bool, ...]
    at_most: float | None = None


@dataclass(frozen=True)
class FallRates:
    """Falls of candidate and baseline, and bounds of their rates, each wrong with a probability of at most ``alpha``.

    ``held`` says whether the candidate's bound is at most ``at_most``, where a limit was stated.
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

    @property
    def held(self) -> bool | None:
        """Whether the stated limit is certified; None without one."""
        return None if self.at_most is None else self.rate_upper <= self.at_most

    def to_json(self) -> dict[str, Any]:
        """JSON form: every field, and whether the limit holds."""
        return {**asdict(self), "held": self.held}


def fall_rates(falls: ObservedFalls, alpha: float) -> FallRates:
    """The falls that were seen, and their bounds.

    >>> found = fall_rates(ObservedFalls("it fell", (False,) * 200, (False,) * 200, at_most=0.05), 0.01)
    >>> found.held, round(found.rate_upper, 4)
    (True, 0.0252)
    """
    own, base = sum(falls.candidate), sum(falls.baseline)
    return FallRates(
        falls.rule,
        own,
        len(falls.candidate),
        base,
        len(falls.baseline),
        rate_upper_bound(own, len(falls.candidate), alpha),
        rate_upper_bound(base, len(falls.baseline), alpha),
        alpha,
        falls.at_most,
    )
