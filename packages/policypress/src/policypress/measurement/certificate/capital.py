"""Betting on means of bounded values, and what the bets of several samples say together.

Somebody who doubts that the mean of values ≥ ``floor`` is at most m stakes the share c of all that can be lost on it:
every value x multiplies the capital by 1 + c·((x − floor)/(m − floor) − 1), which is never negative and has a mean of
at most 1 if that of x is at most m. Then the capital would ever reach 1/α with a probability of at most α, whatever
the distribution and whenever one looks (Ville). The capital is divided among several stakes, fixed before the first
value, so that the order of the values does not matter (Waudby-Smith and Ramdas, J. R. Stat. Soc. B 86, 2024).

Candidate C and baseline B on the same seeds are one bet on the mean of C − keep·B, which is at least that of
(1 − keep)·R where the candidate keeps the share ``keep`` of what the baseline B has above random actions R: no ratio
is estimated, and nothing is assumed of how C and B depend on each other. The mean r of R is not known. For every r
the bets on C − keep·B against (1 − keep)·r and those on R against r multiply (their episodes are independent), and
what is known is the least of these products over all r: at the true one it is such a capital. Where random actions
have been played on the same seeds, capitals may not be multiplied; one that was divided between the two bets may be.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from policypress.measurement.certificate.limits import Limits

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Seeds:
    """What is known of the seeds: whether candidate and baseline are ``paired``, or on seeds that no two share.

    ``random_apart`` says that random actions have seeds of their own.
    """

    paired: bool = True
    random_apart: bool = True


PAIRS, INDEPENDENT = Seeds(), Seeds(paired=False)
STAKES = ((0.99, 0.6), (0.6, 0.16), (0.3, 0.1), (0.12, 0.08), (0.05, 0.06))
"""Stakes, and the share of the capital that each starts with. Chosen by ``benchmarks/certificate_worlds.py``."""
PAIRED_SHARE = 0.75
"""Of the capital against independent samples, the share that bets on them in pairs, in their order."""
# Of the capital that bets on a mean that is not known, the share that is not staked at all.
KEPT_OF_RANDOM, KEPT_OF_BASELINE = 0.9, 0.3
# Where the unknown mean may lie between its estimate and the upper limit, as shares of that distance.
_GRID = np.concatenate([[0.0], np.geomspace(0.002, 1.0, 24)])
_MEANS = 48


def log_capital(values: Floats, mean: float, floor: float) -> float:
    """Logarithm of what betting has earned that the mean of ``values``, all at least ``floor``, is above ``mean``."""
    return float(_joined(np.array([steps.sum() for steps in _steps(values, mean, floor)])))


def running_capital(values: Floats, mean: float, floor: float, every: int = 1) -> Floats:
    """:func:`log_capital` after each ``every`` values."""
    sums = (np.cumsum(steps)[every - 1 :: every] for steps in _steps(values, mean, floor))
    return np.asarray(_joined(np.stack(list(sums))))


def _steps(values: Floats, mean: float, floor: float) -> list[Floats]:
    if mean <= floor:
        # No values at least ``floor`` have a smaller mean, and only those that all equal it have this one.
        refuted = np.where((values > floor) | (mean < floor), math.inf, 0.0)
        return [refuted for _ in STAKES]
    gains = (values - floor) / (mean - floor) - 1
    return [np.log1p(stake * gains) for stake, _ in STAKES]


def _joined(earned: Floats) -> Floats:
    """Logarithm of the whole capital; ``earned`` has one row for each stake."""
    shares = np.log([share for _, share in STAKES])
    return np.asarray(np.logaddexp.reduce((earned.T + shares).T, axis=0))


def possible_means(values: Floats, high: float) -> Floats:
    """Means that are asked about: from the estimate to the upper limit."""
    estimate = float(values.mean())
    return estimate + (high - estimate) * _GRID


def log_against(values: Floats, means: Floats, high: float, kept: float) -> Floats:
    """Logarithm of the capital against each of ``means`` or more being the mean of ``values``, all at most ``high``.

    The share ``kept`` of it is never staked.
    """
    bets = np.asarray([log_capital(-values, -mean, -high) if mean < high else -math.inf for mean in means])
    return np.asarray(np.logaddexp(math.log(kept), math.log1p(-kept) + bets)) if kept else bets


def evidence(
    candidate: Floats, baseline: Floats, random: Floats | None, keep: float, limits: Limits, seeds: Seeds = PAIRS
) -> float:
    """Logarithm of the capital against "the candidate keeps less than ``keep``".

    Args:
        candidate: returns, within ``limits`` as all of these.
        baseline: returns; as many, each on the seed of the candidate's, where they are paired.
        random: returns of random actions; None where the score's zero is a return of 0.
        keep: the share.
        limits: of a return.
        seeds: what belongs together.
    """
    if seeds.paired:
        return _paired(candidate, baseline, random, keep, limits, seeds)
    # A share bets on pairs in the order of playing, which is valid whatever belongs to what; the rest on each sample
    # apart, so that all of a longer one counts.
    count = min(len(candidate), len(baseline))
    paired = _paired(candidate[:count], baseline[:count], random, keep, limits, seeds)
    apart = _apart(candidate, baseline, random, keep, limits, seeds)
    return float(np.logaddexp(math.log(PAIRED_SHARE) + paired, math.log1p(-PAIRED_SHARE) + apart))


def running_evidence(
    candidate: Floats, baseline: Floats, random: Floats | None, keep: float, limits: Limits, every: int = 1
) -> Floats:
    """:func:`evidence` of pairs after each ``every`` of them."""
    differences, floor = candidate - keep * baseline, limits.low - keep * limits.high
    return _least(lambda mean: running_capital(differences, mean, floor, every), random, keep, limits, PAIRS)


def _paired(
    candidate: Floats, baseline: Floats, random: Floats | None, keep: float, limits: Limits, seeds: Seeds
) -> float:
    differences, floor = candidate - keep * baseline, limits.low - keep * limits.high
    return float(_least(lambda mean: np.array([log_capital(differences, mean, floor)]), random, keep, limits, seeds)[0])


def _least(bets: Callable[[float], Floats], random: Floats | None, keep: float, limits: Limits, seeds: Seeds) -> Floats:
    """The least of ``bets`` together with those on random actions, over all means that these may have."""
    if random is None:
        return bets(0.0)
    parts = _intervals(random, limits.high, KEPT_OF_RANDOM if seeds.random_apart else 0.0)
    return np.asarray(np.min([_with(bets((1 - keep) * mean), against, seeds) for mean, against in parts], axis=0))


def _with(bets: Floats, against: Floats | float, seeds: Seeds) -> Floats:
    """Capital of ``bets`` together with that against a mean of random actions."""
    if seeds.random_apart:
        return np.asarray(bets + against)
    return np.asarray(np.logaddexp(math.log(KEPT_OF_RANDOM) + bets, math.log1p(-KEPT_OF_RANDOM) + against))


def _intervals(values: Floats, high: float, kept: float) -> list[tuple[float, float]]:
    """The range of an unknown mean cut up: the upper end of each part, and the capital against its lower end.

    Bets on the other samples are least at the upper end, those on this one at the lower: together they are no more
    than the least within.
    """
    means = possible_means(values, high)
    nothing = math.log(kept) if kept else -math.inf
    against = np.concatenate([[nothing], log_against(values, means[:-1], high, kept)])
    return list(zip(means.tolist(), against.tolist(), strict=True))


def _apart(
    candidate: Floats, baseline: Floats, random: Floats | None, keep: float, limits: Limits, seeds: Seeds
) -> float:
    bases = _intervals(baseline, limits.high, KEPT_OF_BASELINE)
    floors = [(0.0, 0.0)]
    if random is not None:
        floors = _intervals(random, limits.high, KEPT_OF_RANDOM if seeds.random_apart else 0.0)
    wanted = np.array([keep * base + (1 - keep) * floor for base, _ in bases for floor, _ in floors])
    against_base = np.array([one for _, one in bases for _ in floors])
    against_random = np.array([one for _ in bases for _, one in floors])
    # The candidate's bets fall as the mean rises: each is rounded up to one of a few.
    span = float(wanted.max() - wanted.min())
    means = wanted.min() + span * np.concatenate([[0.0], np.geomspace(1e-3, 1.0, _MEANS)])
    found = np.array([log_capital(candidate, mean, limits.low) for mean in means])
    bets = found[np.minimum(np.searchsorted(means, wanted - 1e-12 * span), _MEANS)] + against_base
    return float((bets if random is None else _with(bets, against_random, seeds)).min())
