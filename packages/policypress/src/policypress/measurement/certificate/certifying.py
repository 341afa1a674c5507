"""Certification: whether a policy surely keeps a share of an agent's return. Its reasons: ``docs/certification.md``.

The statement is about means of returns, each counted as at least the one and at most the other limit that were
declared before: mean(C) − R ≥ keep·(mean(B) − R), for candidate C, baseline B and random actions R. What is certain
of it is the capital of :mod:`~policypress.measurement.certificate.capital`; it is certified where that reaches 1/α.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from policypress.measurement.certificate.capital import INDEPENDENT, PAIRS, Seeds, evidence
from policypress.measurement.certificate.error_budget import checked_share
from policypress.measurement.certificate.falls import SHARE_OF_ERROR, FallRates, ObservedFalls, fall_rates
from policypress.measurement.certificate.limits import Limits
from policypress.measurement.certificate.rates import rate_upper_bound
from policypress.measurement.statistics import t_quantile
from policypress_runtime.errors import StudyInputError

Floats = npt.NDArray[np.float64]
Verdict = Literal["certified", "not certified", "refused"]
Rule = Literal["pairs", "independent", "deterministic"]

CRASH_SCORE = 0.5
"""An episode with less than this share of the agent's score is a crash."""
CRASH = "less than half of the agent's score"
RULE_VERSION = 2
"""1 took the worst score of the same episodes for the worst there is, and Student's t for the baseline."""
_FEWEST = 2
_BISECTIONS = 16


@dataclass(frozen=True)
class Certificate:
    """What was found, and on what.

    ``retention`` is (C − R)/(B − R) of the mean returns, ``lower`` its lower bound (between 0 and 1; None where not
    even 0 is sure). ``evidence`` is the capital's logarithm, ``needed`` what it has to reach. ``outside`` counts the
    episodes beyond ``limits``: candidate below, above, baseline below, above; ``below_rate_upper`` bounds how often an
    episode of the candidate lies below. ``worst`` is the lower limit as a score (0 is random, 1 the agent),
    ``correlation`` that of candidate and baseline. ``crashes`` are episodes below half of the agent's score.
    ``price`` are lower limits (this one first) with the pairs that would be enough, ``saved`` the episodes of both
    policies that the pairing saved. ``alpha`` is the error that was spent on this candidate. What is not defined is
    None.
    """

    verdict: Verdict
    reason: str
    keep: float
    alpha: float
    episodes: int
    baseline_episodes: int
    random_episodes: int
    rule: Rule = "pairs"
    retention: float | None = None
    lower: float | None = None
    evidence: float | None = None
    needed: float | None = None
    limits: Limits | None = None
    worst: float | None = None
    outside: tuple[int, int, int, int] = (0, 0, 0, 0)
    below_rate_upper: float | None = None
    correlation: float | None = None
    crashes: int | None = None
    crash_rate_upper: float | None = None
    falls: FallRates | None = None
    price: tuple[tuple[float, int | None], ...] = ()
    saved: int | None = None
    version: int = field(default=RULE_VERSION)

    @property
    def certified(self) -> bool:
        """Whether the candidate passed."""
        return self.verdict == "certified"

    def to_json(self) -> dict[str, Any]:
        """JSON form: every field."""
        data = asdict(self)
        data["falls"] = None if self.falls is None else self.falls.to_json()
        data["price"] = [list(pair) for pair in self.price]
        data["outside"] = list(self.outside)
        return data


@dataclass(frozen=True)
class Samples:
    """Returns of candidate, baseline and random actions (None: the score's zero is a return of 0)."""

    candidate: Floats
    baseline: Floats
    random: Floats | None

    @property
    def zero(self) -> float:
        """The return whose score is 0."""
        return 0.0 if self.random is None else float(self.random.mean())

    @property
    def gap(self) -> float:
        """What the baseline's mean return has above it."""
        return float(self.baseline.mean()) - self.zero

    @property
    def retention(self) -> float:
        """The share of it that the candidate's mean return has."""
        return (float(self.candidate.mean()) - self.zero) / self.gap

    def within(self, limits: Limits) -> Samples:
        """The same, each return counted as ``limits`` count it."""
        random = None if self.random is None else limits.clip(self.random)
        return Samples(limits.clip(self.candidate), limits.clip(self.baseline), random)


def certify_returns(
    baseline: Sequence[float],
    candidate: Sequence[float],
    random: Sequence[float] | None,
    *,
    keep: float,
    alpha: float,
    limits: Limits,
    seeds: Seeds = PAIRS,
    falls: ObservedFalls | None = None,
) -> Certificate:
    """Whether ``candidate`` keeps the share ``keep`` of the return of ``baseline``, with an error of at most ``alpha``.

    The returns are of episodes that nothing was chosen by. The answer may be asked for after every episode, and again
    after more: it is wrong at any time at all with a probability of at most ``alpha``.

    Args:
        baseline: of the fp32 agent.
        candidate: of the policy to certify.
        random: of random actions; None where the score's zero is a return of 0.
        keep: share of the baseline's score, (R − R_random) / (R_baseline − R_random).
        alpha: error allowed.
        limits: of a return, declared before the first of these episodes.
        seeds: whether the i-th episodes of candidate and baseline are on the same seed, and random actions on others.
        falls: which episodes were falls, by default those below half of the agent's score; with a ``limit`` the
            certificate says that as well.

    Raises:
        StudyInputError: too few episodes, or returns that are not finite.
    """
    checked_share("share to keep", keep)
    checked_share("error", alpha)
    samples = _checked(baseline, candidate, random, seeds)
    counts = _counts(samples)
    rule: Rule = "pairs" if seeds.paired else "independent"
    clipped = samples.within(limits)
    told = refusal(clipped.baseline, clipped.random, alpha)
    if told is not None:
        return Certificate("refused", told, keep, alpha, *counts, rule, limits=limits)
    split = falls is not None and falls.limit is not None
    error = alpha * (1 - SHARE_OF_ERROR) if split else alpha

    def capital(share: float) -> float:
        return evidence(clipped.candidate, clipped.baseline, clipped.random, share, limits, seeds)

    found, needed = capital(keep), -math.log(error)
    scores, bases = ((values - clipped.zero) / clipped.gap for values in (samples.candidate, samples.baseline))
    crashed = [tuple((values < CRASH_SCORE).tolist()) for values in (scores, bases)]
    seen = falls or ObservedFalls(CRASH, crashed[0], crashed[1])
    rates = fall_rates(seen, alpha * SHARE_OF_ERROR if split else alpha)
    lower = _lower(capital, clipped.retention, needed)
    below, above = limits.outside(samples.candidate)
    crashes = sum(crashed[0])
    passed = found >= needed and rates.held is not False
    if found >= needed:
        lower = max(lower or 0.0, keep)
    return Certificate(
        "certified" if passed else "not certified",
        _reason(lower, keep, found >= needed, rates),
        keep,
        alpha,
        *counts,
        rule,
        retention=clipped.retention,
        lower=lower,
        evidence=found,
        needed=needed,
        limits=limits,
        worst=(limits.low - clipped.zero) / clipped.gap,
        outside=(below, above, *limits.outside(samples.baseline)),
        below_rate_upper=rate_upper_bound(below, len(samples.candidate), alpha),
        correlation=_correlation(clipped) if seeds.paired else None,
        crashes=crashes,
        crash_rate_upper=rate_upper_bound(crashes, len(scores), alpha),
        falls=rates,
    )


def certify_deterministic(
    baseline: Sequence[float], candidate: Sequence[float], random: Sequence[float] | None, *, keep: float, alpha: float
) -> Certificate:
    """As :func:`certify_returns`, where every episode of a policy is the same, whatever its seed: one is all there is.

    Raises:
        StudyInputError: no episode, returns that are not finite, or that differ.
    """
    checked_share("share to keep", keep)
    samples = _checked(baseline, candidate, random, INDEPENDENT, fewest=1)
    told = refusal(samples.baseline, samples.random, alpha, deterministic=True)
    counts = _counts(samples)
    if told is not None:
        return Certificate("refused", told, keep, alpha, *counts, "deterministic")
    for values in (samples.baseline, samples.candidate):
        if np.ptp(values) > 0:
            raise StudyInputError(
                "Episodes of a deterministic environment differ.",
                got=f"returns from {values.min():g} to {values.max():g}",
                expected="one return",
            )
    kept = samples.retention
    reason = f"the environment is deterministic: every episode is the one that was played, and keeps {kept:.4f}"
    verdict: Verdict = "certified" if kept >= keep else "not certified"
    crashes = len(candidate) if kept < CRASH_SCORE else 0
    found = Certificate(verdict, reason, keep, alpha, *counts, "deterministic", retention=kept, lower=kept)
    return replace(found, crashes=crashes)


def refusal(
    baseline: Sequence[float] | Floats,
    random: Sequence[float] | Floats | None,
    alpha: float,
    *,
    deterministic: bool = False,
) -> str | None:
    """Why nothing is worth certifying of this baseline, if so: it is not clearly better than random actions.

    This guards against useless statements and takes no part in the certificate's guarantee.
    """
    base = np.asarray(baseline, np.float64)
    floor = np.zeros(2) if random is None else np.asarray(random, np.float64)
    gap = float(base.mean() - floor.mean())
    error = 0.0
    if not deterministic:
        error = math.sqrt(_squared_error(base) + _squared_error(floor))
        degrees = len(base) if random is None else min(len(base), len(floor))
        error *= t_quantile(1 - alpha, float(degrees - 1))
    if gap > error:
        return None
    zero = "random actions" if random is not None else "a return of 0, which without random actions is the zero"
    return (
        f"the baseline is not clearly better than {zero} "
        f"(mean return {base.mean():.4g} against {floor.mean():.4g}), so there is nothing that could be kept"
    )


def _checked(
    baseline: Sequence[float],
    candidate: Sequence[float],
    random: Sequence[float] | None,
    seeds: Seeds,
    *,
    fewest: int = _FEWEST,
) -> Samples:
    named = {"baseline": baseline, "candidate": candidate, "random policy": random}
    arrays = {name: np.asarray(values, np.float64) for name, values in named.items() if values is not None}
    for name, values in arrays.items():
        finite = bool(np.isfinite(values).all())
        if len(values) < fewest or not finite:
            raise StudyInputError(
                f"The returns of the {name} cannot be certified with.",
                got=f"{len(values)} episodes" + ("" if finite else ", some not finite"),
                expected=f"at least {fewest}, all finite",
            )
    if seeds.paired and len(arrays["baseline"]) != len(arrays["candidate"]):
        raise StudyInputError(
            "Episodes of candidate and baseline do not form pairs.",
            got=f"{len(arrays['candidate'])} and {len(arrays['baseline'])}",
            expected="as many of both, on the same seeds",
        )
    return Samples(arrays["candidate"], arrays["baseline"], arrays.get("random policy"))


def _counts(samples: Samples) -> tuple[int, int, int]:
    return len(samples.candidate), len(samples.baseline), 0 if samples.random is None else len(samples.random)


def _lower(capital: Callable[[float], float], retention: float, needed: float) -> float | None:
    """The share up to which every share is refuted; shares between 0 and 1 are asked about."""
    if retention <= 0 or capital(0.0) < needed:
        return None
    low, high = 0.0, min(retention, 1.0)
    if capital(high) >= needed:
        return high
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if capital(middle) >= needed:
            low = middle
        else:
            high = middle
    return low


def _reason(lower: float | None, keep: float, kept: bool, falls: FallRates) -> str:
    if kept and falls.held is False:
        than = "more frequent than the baseline's by less than" if falls.over_baseline else "rarer than"
        return f"the return is kept, but falls are only known to be {than} {falls.bound:.2%}, not {falls.at_most:.2%}"
    if lower is None:
        return f"nothing is sure of the retention yet; it has to be at least {keep:g}"
    if kept:
        return f"the lower bound {max(lower, keep):.4f} of the retention is at least {keep:g}"
    return f"the lower bound {min(lower, keep):.4f} of the retention is below {keep:g}"


def _correlation(samples: Samples) -> float | None:
    if np.ptp(samples.candidate) == 0 or np.ptp(samples.baseline) == 0:
        return None
    return float(np.corrcoef(samples.candidate, samples.baseline)[0, 1])


def _squared_error(values: Floats) -> float:
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.0
