"""Exact tests of counts: is one method the best more often than chance, do counts fit given shares?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

_TIES = 1 + 1e-9  # probabilities that are equal but for rounding count as equal


def at_least(successes: int, trials: int, chance: float) -> float:
    """P(X ≥ successes) of a binomial variable: the one-sided p-value of so many or more by chance.

    >>> round(at_least(10, 25, 1 / 3), 3)
    0.304
    """
    return min(1.0, sum(_binomial(count, trials, chance) for count in range(successes, trials + 1)))


def sign_test(first: int, second: int) -> float:
    """Two-sided p-value of ``first`` wins against ``second`` where both are as likely; ties are left out before.

    >>> round(sign_test(15, 10), 3)
    0.424
    """
    trials = first + second
    return min(1.0, 2 * at_least(max(first, second), trials, 0.5)) if trials else 1.0


def multinomial_test(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Exact p-value of ``counts`` under ``shares``: the chance of counts that are no likelier than these.

    >>> round(multinomial_test([10, 6, 9], [1 / 3, 1 / 3, 1 / 3]), 2)
    0.68
    """
    observed = _multinomial(counts, shares) * _TIES
    found = (_multinomial(other, shares) for other in _compositions(sum(counts), len(counts)))
    return min(1.0, sum(probability for probability in found if probability <= observed))


def share_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's exact interval of a share.

    >>> low, high = share_interval(10, 25)
    >>> round(low, 3), round(high, 3)
    (0.211, 0.613)
    """
    tail = (1 - confidence) / 2
    lower = 0.0 if successes == 0 else _bisect(lambda p: at_least(successes, trials, p) < tail)
    upper = 1.0 if successes == trials else _bisect(lambda p: 1 - at_least(successes + 1, trials, p) > tail)
    return lower, upper


def _bisect(below: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) else (low, middle)
    return (low + high) / 2


def _binomial(count: int, trials: int, chance: float) -> float:
    return math.comb(trials, count) * chance**count * (1 - chance) ** (trials - count)


def _multinomial(counts: Sequence[int], shares: Sequence[float]) -> float:
    ways = math.factorial(sum(counts))
    for count in counts:
        ways //= math.factorial(count)
    return ways * math.prod(share**count for share, count in zip(shares, counts, strict=True))


def _compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in _compositions(total - first, parts - 1):
            yield (first, *rest)
