"""How many episodes a certificate takes, from those that are there; what a lower limit would cost; what pairs save."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from policypress.measurement.certificate.capital import KEPT_OF_RANDOM as KEPT
from policypress.measurement.certificate.capital import (
    STAKES,
    log_against,
    possible_means,
)
from policypress.measurement.certificate.certifying import Certificate, Samples
from policypress.measurement.certificate.limits import Limits
from policypress.measurement.statistics import t_quantile

Floats = npt.NDArray[np.float64]
POWER = 0.8
LOWER_SCORES = (0.0, 1.0, 3.0)
"""A certificate says what it takes if an episode may be so many of the agent's scores worse than its limit."""
MOST = 200_000
RANDOM_EPISODES = 100
"""Of random actions, that a certificate is planned with where fewer are known: theirs cost little."""
_FEWEST = 16
# So many pairs stand for a distribution as well as more do.
_MOST_GIVEN = 4000
_FINENESS = 1.05
_SHARES = np.log([share for _, share in STAKES])[:, None]
# The middles of five parts that are equally probable.
_LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
_NORMAL = NormalDist()


@dataclass(frozen=True)
class EpisodePlan:
    """How many pairs of episodes a certificate takes with probability ``power``, if the candidate is as it seems.

    ``episodes`` is None where no number up to the limit is enough; ``reason`` says why.
    """

    episodes: int | None
    power: float
    reason: str


def plan_episodes(
    baseline: Sequence[float],
    candidate: Sequence[float],
    random: Sequence[float] | None,
    *,
    keep: float,
    alpha: float,
    limits: Limits,
    limit: int = MOST,
    paired: bool = True,
) -> EpisodePlan:
    """How many pairs of episodes it takes: the given ones, in pairs, stand for the distribution.

    The logarithm of the capital is a sum over episodes, hence nearly normal: its mean and standard deviation say when
    it will have reached 1/α with probability :data:`POWER`.

    Args:
        baseline: returns of the agent.
        candidate: returns of the candidate.
        random: returns of random actions; where they are fewer than :data:`RANDOM_EPISODES`, they stand for as many.
        keep: share of the score to keep.
        alpha: error allowed.
        limits: of a return.
        limit: the most episodes there may be.
        paired: the i-th returns of candidate and baseline belong to one seed.
    """
    samples = _given(baseline, candidate, random, limits)
    if len(samples.candidate) < 2 or samples.gap <= 0:
        return EpisodePlan(None, POWER, "the baseline is no better than random actions")
    margin = samples.retention - keep
    if margin <= 0:
        return EpisodePlan(None, POWER, f"it keeps {samples.retention:.4f}, less than {keep:g}")
    episodes = _enough(samples, keep, alpha, limits, limit, paired=paired)
    if episodes is None:
        return EpisodePlan(None, POWER, f"{limit} episodes are not enough for a margin of {margin:.4f}")
    return EpisodePlan(episodes, POWER, f"{episodes} held-out episodes pass with a probability of {POWER:.0%}")


def pass_probability(
    baseline: Sequence[float],
    candidate: Sequence[float],
    random: Sequence[float] | None,
    *,
    keep: float,
    alpha: float,
    limits: Limits,
    pairs: int,
) -> float:
    """Probability that so many pairs of episodes certify the candidate, as far as its pairs until now tell.

    They stand for the distribution, but its mean is only known as well as their number allows: the probability is
    averaged over the means that Student's t leaves. Failures that none of them shows are not thought of.

    Args:
        baseline: returns of the agent.
        candidate: returns of the candidate, the i-th on the seed of the baseline's i-th.
        random: returns of random actions.
        keep: share of the score to keep.
        alpha: error allowed.
        limits: of a return.
        pairs: how many there may be.
    """
    samples = _given(baseline, candidate, random, limits)
    count = len(samples.candidate)
    if count < 2 or samples.gap <= 0 or pairs < 1:
        return 0.0
    differences = samples.candidate - keep * samples.baseline
    error = float(differences.std(ddof=1)) / math.sqrt(count)
    found = []
    for level in _LEVELS:
        moved = replace(samples, candidate=samples.candidate + error * t_quantile(level, float(count - 1)))
        growth = _Growth.of(moved.within(limits), keep, limits)
        found.append(_NORMAL.cdf(growth.quantile(pairs, -math.log(alpha))))
    return float(np.mean(found))


@dataclass(frozen=True)
class _Growth:
    """How the capital's logarithm grows with a pair: ``average`` and ``spread`` by stake and mean of random actions.

    ``against`` is what the bets on random actions have earned against each of these means.
    """

    average: Floats
    spread: Floats
    against: Floats
    differences: Floats

    @staticmethod
    def of(samples: Samples, keep: float, limits: Limits) -> _Growth:
        floor = limits.low - keep * limits.high
        means, against = np.zeros(1), np.zeros(1)
        if samples.random is not None:
            ends = possible_means(samples.random, limits.high)
            against = np.concatenate([[math.log(KEPT)], log_against(samples.random, ends[:-1], limits.high, KEPT)])
            means = (1 - keep) * ends
        differences = samples.candidate - keep * samples.baseline
        gains = (differences - floor)[None, :] / (means - floor)[:, None] - 1
        steps = np.log1p(np.array([stake for stake, _ in STAKES])[:, None, None] * gains)
        return _Growth(steps.mean(axis=2), steps.std(axis=2), against, differences)

    def earned(self, pairs: int, z: float) -> float:
        """What ``pairs`` earn, ``z`` standard deviations below their mean."""
        earned = _SHARES + pairs * self.average - z * math.sqrt(pairs) * self.spread
        return float((earned.max(axis=0) + self.against).min())

    def quantile(self, pairs: int, needed: float) -> float:
        """How many standard deviations below its mean the capital after ``pairs`` still is enough."""
        above = _SHARES + pairs * self.average + self.against - needed
        spread = np.maximum(math.sqrt(pairs) * self.spread, 1e-12)
        return float(np.clip((above / spread).max(axis=0).min(), -9.0, 9.0))


def _given(
    baseline: Sequence[float], candidate: Sequence[float], random: Sequence[float] | None, limits: Limits
) -> Samples:
    """The pairs that are there, and random actions as often as a certificate has them."""
    count = min(len(candidate), len(baseline), _MOST_GIVEN)
    own = np.asarray(candidate, np.float64)[:count]
    base = np.asarray(baseline, np.float64)[:count]
    floor = None if random is None else np.asarray(random, np.float64)[:_MOST_GIVEN]
    if floor is not None and 0 < len(floor) < RANDOM_EPISODES:
        floor = np.resize(floor, RANDOM_EPISODES)
    return Samples(own, base, floor).within(limits)


def _enough(samples: Samples, keep: float, alpha: float, limits: Limits, limit: int, *, paired: bool) -> int | None:
    growth = _Growth.of(samples, keep, limits)
    if not paired:  # in whatever order they come, their covariance is 0
        more = _covariance(samples, keep) / np.maximum(growth.differences.var(), 1e-300)
        growth = replace(growth, spread=np.sqrt(growth.spread**2 * (1 + more)))
    z = t_quantile(POWER, 1e6)
    count = float(_FEWEST)
    while count <= limit:
        episodes = math.ceil(count)
        if growth.earned(episodes, z) >= -math.log(alpha):
            return episodes
        count *= _FINENESS
    return None


def _covariance(samples: Samples, keep: float) -> float:
    return float(2 * keep * np.cov(samples.candidate, samples.baseline, ddof=0)[0, 1])


def with_price(found: Certificate, samples: Samples) -> Certificate:
    """``found`` with what it would have taken at lower limits, and on seeds of their own, from the same episodes."""
    if found.limits is None or found.retention is None or found.rule == "deterministic":
        return found
    limits, base, own = found.limits, samples.baseline.tolist(), samples.candidate.tolist()
    random = None if samples.random is None else samples.random.tolist()
    gap, price = samples.within(limits).gap, []
    for below in LOWER_SCORES:
        lower = replace(limits, low=limits.low - below * gap)
        plan = plan_episodes(
            base, own, random, keep=found.keep, alpha=found.alpha, limits=lower, paired=found.rule == "pairs"
        )
        price.append((lower.low, plan.episodes))
    enough, saved = price[0][1], None
    if found.rule == "pairs" and enough is not None:
        apart = plan_episodes(base, own, random, keep=found.keep, alpha=found.alpha, limits=limits, paired=False)
        saved = None if apart.episodes is None else max(2 * (apart.episodes - enough), 0)
    return replace(found, price=tuple(price), saved=saved)
