"""Bounds of a rate, valid at every number of episodes at once: of falls, and of episodes outside the limits."""

from __future__ import annotations

import math

# Half of the capital bets that it never happens, half is spread over the rates by a Beta distribution.
_A, _B = 0.5, 10.0
_BISECTIONS = 50


def log_evidence(count: int, episodes: int, rate: float) -> float:
    """Logarithm of what betting against ``rate`` has earned, where ``count`` of ``episodes`` were seen."""
    likelihood = count * math.log(rate) + (episodes - count) * math.log1p(-rate)
    spread = _log_beta(_A + count, _B + episodes - count) - _log_beta(_A, _B) - likelihood
    if count:
        return spread + math.log(0.5)
    never = -likelihood
    top = max(never, spread)
    return top + math.log(0.5 * math.exp(never - top) + 0.5 * math.exp(spread - top))


def rate_upper_bound(count: int, episodes: int, alpha: float) -> float:
    """Upper bound of a rate of which ``count`` in ``episodes`` were seen.

    It may be looked at after every episode: it is wrong at any time at all with a probability of at most ``alpha``
    (Ville).

    >>> round(rate_upper_bound(0, 100, 0.05), 4), rate_upper_bound(3, 3, 0.05)
    (0.0337, 1.0)
    """
    if episodes == 0 or count >= episodes:
        return 1.0
    low, high = count / episodes, 1.0
    for _ in range(_BISECTIONS):
        rate = (low + high) / 2
        if rate >= 1.0 or (rate > 0.0 and log_evidence(count, episodes, rate) >= -math.log(alpha)):
            high = rate
        else:
            low = rate
    return high


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
