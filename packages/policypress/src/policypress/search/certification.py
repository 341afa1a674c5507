"""Certification: whether a policy surely keeps a share of an agent's return. Its reasons: ``docs/certification.md``.

Returns become scores: 0 is the random policy's mean, 1 the baseline's. The lower bound of the candidate's mean score
is that of a betting martingale (Waudby-Smith and Ramdas, J. R. Stat. Soc. B 86, 2024): somebody who doubts that the
mean is above m stakes the share c of all that can be lost on it, and earns the factor 1 + c·((s − w)/(m − w) − 1) with
every score s, where w is the worst score that can occur. If the mean were m or less, the capital would reach 1/α with
a probability of at most α, whatever the distribution and whenever one looks. So every m at which the capital reaches
1/α is refuted, and crashes that have not happened yet are paid for: nothing is assumed of them but w.

>>> round(mean_lower_bound([1.0] * 100, worst=0.0, alpha=0.05), 4)
0.9673
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from policypress.measurement.statistics import t_quantile
from policypress_runtime.errors import StudyInputError

Floats = npt.NDArray[np.float64]
Verdict = Literal["certified", "not certified", "refused"]

CRASH_SCORE = 0.5
# Stakes, and the share of the capital that each starts with. Chosen by benchmarks/certification.py: the first is what
# narrow distributions need, the others what wide ones do.
STAKES = ((0.99, 0.7), (0.5, 0.2), (0.15, 0.1))
POWER = 0.8
_FEWEST = 2
_BISECTIONS = 40


@dataclass(frozen=True)
class Certificate:
    """What was found, and on what.

    ``retention`` is the mean score of the candidate, ``lower`` its lower bound with the baseline's and the random
    policy's uncertainty in it. ``crashes`` counts episodes below half of the baseline's score, ``crash_rate_upper``
    is the exact (Clopper-Pearson) bound of their rate, ``worst`` the score that unseen episodes are taken to be able
    to have. ``alpha`` is the error that was spent on this candidate. What is not defined is None.
    """

    verdict: Verdict
    reason: str
    keep: float
    alpha: float
    episodes: int
    baseline_episodes: int
    random_episodes: int
    retention: float | None = None
    lower: float | None = None
    crashes: int | None = None
    crash_rate_upper: float | None = None
    worst: float | None = None

    @property
    def certified(self) -> bool:
        """Whether the candidate passed."""
        return self.verdict == "certified"

    def to_json(self) -> dict[str, Any]:
        """JSON form: every field."""
        return asdict(self)


@dataclass(frozen=True)
class EpisodePlan:
    """How many held-out episodes the gate needs to pass with probability ``power``, if the candidate is as it seems.

    ``episodes`` is None where no number up to the limit is enough; ``reason`` says why.
    """

    episodes: int | None
    power: float
    reason: str


def error_share(confidence: float, attempt: int) -> float:
    """The error that the ``attempt``-th candidate (from 1) may spend: α/2, α/4, …, together less than α.

    >>> error_share(0.75, 1), error_share(0.75, 2)
    (0.125, 0.0625)
    """
    return (1 - confidence) * 0.5**attempt


def checked_share(name: str, value: float) -> float:
    """``value`` where it lies between 0 and 1.

    Raises:
        StudyInputError: it does not.
    """
    if not 0 < value < 1:
        raise StudyInputError(f"The {name} is a share.", got=f"{value:g}", expected="more than 0 and less than 1")
    return value


def certify(
    baseline: Sequence[float],
    candidate: Sequence[float],
    random: Sequence[float],
    *,
    keep: float,
    alpha: float,
    deterministic: bool = False,
) -> Certificate:
    """Whether ``candidate`` keeps the share ``keep`` of the return of ``baseline``, with an error of at most ``alpha``.

    The three are returns of episodes on seeds that nothing was chosen by. The answer may be asked for again after more
    episodes of the candidate: its bound holds at every length at once.

    Args:
        baseline: of the fp32 agent.
        candidate: of the policy to certify.
        random: of random actions.
        keep: share of the baseline's score, (R − R_random) / (R_baseline − R_random).
        alpha: error allowed.
        deterministic: every episode of this environment is the same, whatever its seed: one is all there is.

    Raises:
        StudyInputError: too few episodes, or returns that are not finite.
    """
    checked_share("share to keep", keep)
    checked_share("error", alpha)
    arrays = [np.asarray(values, np.float64) for values in (baseline, candidate, random)]
    least = 1 if deterministic else _FEWEST
    for name, values in zip(("baseline", "candidate", "random policy"), arrays, strict=True):
        if len(values) < least or not np.isfinite(values).all():
            raise StudyInputError(
                f"The returns of the {name} cannot be certified with.",
                got=f"{len(values)} episodes" + ("" if np.isfinite(values).all() else ", some not finite"),
                expected=f"at least {least}, all finite",
            )
    reason = refusal(baseline, random, alpha, deterministic=deterministic)
    counts = {"episodes": len(arrays[1]), "baseline_episodes": len(arrays[0]), "random_episodes": len(arrays[2])}
    if reason is not None:
        return Certificate("refused", reason, keep, alpha, **counts)
    decide = _exact if deterministic else _bounded
    return decide(arrays[0], arrays[1], arrays[2], keep, alpha, counts)


def refusal(
    baseline: Sequence[float], random: Sequence[float], alpha: float, *, deterministic: bool = False
) -> str | None:
    """Why nothing can be certified of this baseline, if so: it is not clearly better than random actions."""
    base, floor = np.asarray(baseline, np.float64), np.asarray(random, np.float64)
    gap = float(base.mean() - floor.mean())
    error = 0.0
    if not deterministic:
        error = math.sqrt(_squared_error(base) + _squared_error(floor))
        error *= t_quantile(1 - alpha, float(min(len(base), len(floor)) - 1))
    if gap > error:
        return None
    return (
        "the baseline is not clearly better than random actions "
        f"(mean return {base.mean():.4g} against {floor.mean():.4g}), so there is nothing that could be kept"
    )


def _exact(
    base: Floats, candidate: Floats, random: Floats, keep: float, alpha: float, counts: dict[str, int]
) -> Certificate:
    for values in (base, candidate):
        if np.ptp(values) > 0:
            raise StudyInputError(
                "Episodes of a deterministic environment differ.",
                got=f"returns from {values.min():g} to {values.max():g}",
                expected="one return",
            )
    gap = base.mean() - random.mean()
    kept = float((candidate[0] - random.mean()) / gap)
    passed = kept >= keep
    reason = f"the environment is deterministic: every episode is the one that was played, and keeps {kept:.4f}"
    crashes = len(candidate) if kept < CRASH_SCORE else 0
    verdict: Verdict = "certified" if passed else "not certified"
    return Certificate(verdict, reason, keep, alpha, **counts, retention=kept, lower=kept, crashes=crashes)


def _bounded(
    base: Floats, candidate: Floats, random: Floats, keep: float, alpha: float, counts: dict[str, int]
) -> Certificate:
    zero, gap = random.mean(), base.mean() - random.mean()
    scores = (candidate - zero) / gap
    worst = worst_score(base, candidate, random)
    kept = float(scores.mean())
    below = kept - mean_lower_bound(scores.tolist(), worst=worst, alpha=alpha)
    lower = _with_reference(kept, below, base / gap, random / gap, alpha)
    crashes = int((scores < CRASH_SCORE).sum())
    passed = lower >= keep
    reason = f"the lower bound {lower:.4f} of the retention is {'at least' if passed else 'below'} {keep:g}"
    return Certificate(
        "certified" if passed else "not certified",
        reason,
        keep,
        alpha,
        **counts,
        retention=kept,
        lower=lower,
        crashes=crashes,
        crash_rate_upper=rate_upper_bound(crashes, len(scores), alpha),
        worst=worst,
    )


def worst_score(base: Floats, candidate: Floats, random: Floats) -> float:
    """The lowest score that any of the three had, at most 0: what unseen episodes are taken to be able to have."""
    zero, gap = random.mean(), base.mean() - random.mean()
    return min(0.0, *(float((values.min() - zero) / gap) for values in (base, candidate, random)))


def mean_lower_bound(scores: Sequence[float], *, worst: float, alpha: float) -> float:
    """Lower bound of the mean of scores that are never below ``worst``, wrong with a probability of at most ``alpha``.

    See the module; by bisection, since the capital falls as m grows.
    """
    values = np.asarray(scores, np.float64) - worst
    low, high = 0.0, float(values.mean())
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if middle > 0 and log_capital(values, middle) < -math.log(alpha):
            high = middle
        else:
            low = middle
    return worst + low


def log_capital(values: Floats, mean: float) -> float:
    """Logarithm of what betting against ``mean`` has earned; ``values`` are at least 0, ``mean`` is above 0."""
    earned = [math.log(share) + float(np.log1p(stake * (values / mean - 1)).sum()) for stake, share in STAKES]
    top = max(earned)
    return top + math.log(sum(math.exp(value - top) for value in earned))


def _with_reference(kept: float, below: float, base: Floats, random: Floats, alpha: float) -> float:
    """The lower bound of the ratio, from the distances of each mean to its own bound.

    Distances of independent estimates join as the roots of squares do (method of variance estimates recovery, Zou and
    Donner, Statistics in Medicine 27, 2008): the smallest t for which
    (kept − t)² = below² + t²·d_base² + (1 − t)²·d_random². ``base`` and ``random`` are in units of the gap.
    """
    d_base = t_quantile(1 - alpha, float(len(base) - 1)) ** 2 * _squared_error(base)
    d_random = t_quantile(1 - alpha, float(len(random) - 1)) ** 2 * _squared_error(random)
    a = 1 - d_base - d_random
    if a <= 0:  # the baseline's mean is not known well enough for any bound
        return -math.inf
    b, c = kept - d_random, kept**2 - below**2 - d_random
    return (b - math.sqrt(max(b * b - a * c, 0.0))) / a


def _squared_error(values: Floats) -> float:
    return float(values.var(ddof=1) / len(values))


def rate_upper_bound(count: int, episodes: int, alpha: float) -> float:
    """Exact (Clopper-Pearson) upper bound of a rate of which ``count`` in ``episodes`` were seen.

    >>> round(rate_upper_bound(0, 100, 0.05), 4)
    0.0295
    """
    if count >= episodes:
        return 1.0
    ways = [math.lgamma(episodes + 1) - math.lgamma(k + 1) - math.lgamma(episodes - k + 1) for k in range(count + 1)]
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        rate = (low + high) / 2
        terms = [w + k * math.log(rate) + (episodes - k) * math.log1p(-rate) for k, w in enumerate(ways)]
        if sum(map(math.exp, terms)) < alpha:
            high = rate
        else:
            low = rate
    return high


def plan_episodes(
    baseline: Sequence[float],
    candidate: Sequence[float],
    random: Sequence[float],
    *,
    keep: float,
    alpha: float,
    limit: int,
    references: int | None = None,
    deterministic: bool = False,
) -> EpisodePlan:
    """How many held-out episodes of the candidate the gate needs, against ``references`` of the baseline: its power.

    Without ``references`` the baseline plays as many. The episodes that are given stand for the distribution. The
    logarithm of the capital is a sum over episodes, hence nearly normal: its mean and standard deviation say when it
    will have reached 1/α with probability :data:`POWER`.
    """
    if deterministic:
        return EpisodePlan(1, 1.0, "the environment is deterministic: one episode is all there is")
    base, own, floor = (np.asarray(values, np.float64) for values in (baseline, candidate, random))
    gap = float(base.mean() - floor.mean())
    if gap <= 0:
        return EpisodePlan(None, POWER, "the baseline is no better than random actions")
    scores = (own - floor.mean()) / gap
    margin = float(scores.mean()) - keep
    if margin <= 0:
        return EpisodePlan(None, POWER, f"it keeps {scores.mean():.4f}, less than {keep:g}")
    worst, spread = worst_score(base, own, floor), float(base.var(ddof=1)) / gap**2
    count = 16.0
    while count <= limit:
        episodes = math.ceil(count)
        count_base = references or episodes
        error = t_quantile(1 - alpha, float(count_base - 1)) * keep * math.sqrt(spread / count_base)
        if error < margin:
            refuted = float(scores.mean()) - math.sqrt(margin**2 - error**2)
            if _reaches(scores - worst, refuted - worst, episodes, alpha):
                return EpisodePlan(
                    episodes, POWER, f"{episodes} held-out episodes pass with a probability of {POWER:.0%}"
                )
        count *= 1.05
    return EpisodePlan(None, POWER, f"{limit} episodes are not enough for a margin of {margin:.4f}")


def _reaches(values: Floats, mean: float, episodes: int, alpha: float) -> bool:
    z = t_quantile(POWER, 1e6)
    for stake, share in STAKES:
        steps = np.log1p(stake * (values / mean - 1))
        reached = episodes * float(steps.mean()) - z * math.sqrt(episodes) * float(steps.std())
        if reached >= -math.log(alpha * share):
            return True
    return False
