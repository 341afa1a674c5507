"""``certify``: a certificate from any episodes, of a simulator that cannot be run here or of a real robot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from policypress.measurement.certificate.capital import Seeds
from policypress.measurement.certificate.certifying import Certificate, Samples, certify_returns
from policypress.measurement.certificate.episode_files import Episodes, read_episodes
from policypress.measurement.certificate.error_budget import checked_share, jointly_held
from policypress.measurement.certificate.fall_rule import FallLimit, FallRule, fall_rule_of
from policypress.measurement.certificate.falls import ObservedFalls
from policypress.measurement.certificate.limits import Limits, declared
from policypress.measurement.certificate.pairing import PAIRINGS, Pairing, matched, without_common_seeds
from policypress.measurement.certificate.planning import with_price
from policypress_runtime.errors import EpisodeFileError, StudyInputError

EpisodesLike = str | Path | Episodes | Iterable[float]

PILOT_EPISODES = 20
"""Episodes of each policy that limits are taken from where they are not stated; they certify nothing."""
_FEWEST = 2


@dataclass(frozen=True)
class CertifyOptions:
    """What is to be certified, and what is known of the episodes.

    Args:
        keep: share of the baseline's score, (R − R_random) / (R_baseline − R_random), to keep.
        confidence: of the certificate.
        worst_return: the worst return that an episode counts as.
        best_return: the best return that an episode counts as.
        max_falls: the rate of falls that is to be certified as well; ``"baseline+0.02"``: at most so much more
            frequent than the baseline's.
        falls: what a fall is: ``terminated``, ``score<SHARE``, ``return<VALUE`` or ``info:COLUMN``.
        pairing: ``seeds`` (episodes with the same seed form a pair, where there are seeds), ``rows`` (the i-th rows
            do, such as trials from the same starting position), or ``none`` (independent samples).
        pilot_episodes: the first rows of each file, which limits are taken from and which certify nothing, where
            limits are not stated.

    Raises:
        StudyInputError: a number or a name that cannot be.
    """

    keep: float = 0.95
    confidence: float = 0.95
    worst_return: float | None = None
    best_return: float | None = None
    max_falls: float | str | None = None
    falls: str | None = None
    pairing: str = "seeds"
    pilot_episodes: int = PILOT_EPISODES

    def __post_init__(self) -> None:
        checked_share("share to keep", self.keep)
        checked_share("confidence", self.confidence)
        if self.pilot_episodes < _FEWEST:
            raise StudyInputError(
                "Limits need episodes to be taken from.",
                got=str(self.pilot_episodes),
                expected=f"at least {_FEWEST}",
                hint="State both limits with --worst-return and --best-return, then no episode is used for them.",
            )
        _ = self.fall_rule, self.pairs
        if self.worst_return is not None and self.best_return is not None:
            Limits(self.worst_return, self.best_return)

    @property
    def fall_rule(self) -> FallRule | None:
        """What a fall is, if it is said or asked for."""
        return fall_rule_of(self.falls, self.max_falls)

    @property
    def pairs(self) -> Pairing:
        """Which episodes belong together."""
        for known in PAIRINGS:
            if known == self.pairing:
                return known
        raise StudyInputError("Unknown pairing of episodes.", got=self.pairing, expected=", ".join(PAIRINGS))


def certify(
    baseline: EpisodesLike,
    candidate: EpisodesLike,
    random: EpisodesLike | None = None,
    *,
    options: CertifyOptions | None = None,
    **changes: Any,
) -> Certificate:
    """Whether ``candidate`` surely keeps a share of the return of ``baseline``.

    More episodes may be added at the end of the same files at any time, and the answer asked for again: it is wrong
    at any time at all with a probability of at most 1 − confidence.

    Args:
        baseline: episodes of the agent: a ``.csv``, ``.npz`` or ``monitor.csv`` file, returns, or ``Episodes``.
        candidate: episodes of the policy to certify, if possible on the same seeds.
        random: episodes of random actions; without them the zero of the score is a return of 0.
        options: everything else.
        changes: fields of :class:`CertifyOptions`, in place of those of ``options``.

    Raises:
        StudyInputError: an option that cannot be, or too few episodes.
        EpisodeFileError: a file that cannot be read, or that does not fit the others.

    >>> certify([100.0] * 120, [100.0] * 120, worst_return=0.0, best_return=110.0).verdict
    'certified'
    """
    asked = replace(options or CertifyOptions(), **changes)
    return Trial.of(baseline, candidate, random, asked).certificate(1 - asked.confidence)


def certify_together(
    baseline: EpisodesLike,
    candidates: Mapping[str, EpisodesLike],
    random: EpisodesLike | None,
    options: CertifyOptions,
) -> dict[str, Certificate]:
    """Certificates of several candidates, which all hold together at the confidence that is asked for (Holm).

    Raises:
        StudyInputError: as :func:`certify`.
    """
    base, floor = _episodes(baseline, "baseline"), None if random is None else _episodes(random, "random")
    trials = {name: Trial.of(base, episodes, floor, options) for name, episodes in candidates.items()}
    found: dict[str, Certificate] = {}

    def holds(name: str, alpha: float) -> bool:
        found[name] = trials[name].certificate(alpha)
        return found[name].certified

    jointly_held(list(trials), holds, 1 - options.confidence)
    return found


@dataclass(frozen=True)
class Trial:
    """Episodes that are matched, and the limits that they count within."""

    candidate: Episodes
    baseline: Episodes
    random: Episodes | None
    options: CertifyOptions
    limits: Limits
    threshold: float
    seeds: Seeds

    @classmethod
    def of(
        cls, baseline: EpisodesLike, candidate: EpisodesLike, random: EpisodesLike | None, options: CertifyOptions
    ) -> Trial:
        """The trial of one candidate.

        Raises:
            EpisodeFileError: the episodes do not fit each other, or are too few.
        """
        base, own, paired = matched(_episodes(baseline, "baseline"), _episodes(candidate, "candidate"), options.pairs)
        floor = None if random is None else _episodes(random, "random")
        parts = [one for one in (own, base, floor) if one is not None]
        pilot = _pilot(options)
        for episodes in parts:
            if len(episodes.returns) < pilot + _FEWEST:
                raise _too_few(episodes, pilot)
        before = [np.asarray(episodes.returns[:pilot]) for episodes in parts]
        limits = declared(np.concatenate(before).tolist(), worst=options.worst_return, best=options.best_return)
        rule = options.fall_rule
        threshold = 0.0
        if rule is not None:
            zero = float(before[2].mean()) if pilot and floor is not None else 0.0
            threshold = rule.threshold(float(before[1].mean()) if pilot else 0.0, zero)
        rest = [episodes.at(range(pilot, len(episodes.returns))) for episodes in parts]
        seeds = Seeds(paired, without_common_seeds(floor, base, own))
        return cls(rest[0], rest[1], rest[2] if len(rest) > 2 else None, options, limits, threshold, seeds)

    def certificate(self, alpha: float) -> Certificate:
        """What is certain with an error of at most ``alpha``."""
        random = None if self.random is None else self.random.returns
        found = certify_returns(
            self.baseline.returns,
            self.candidate.returns,
            random,
            keep=self.options.keep,
            alpha=alpha,
            limits=self.limits,
            seeds=self.seeds,
            falls=self._falls(),
        )
        floor = None if random is None else np.asarray(random)
        return with_price(found, Samples(np.asarray(self.candidate.returns), np.asarray(self.baseline.returns), floor))

    def _falls(self) -> ObservedFalls | None:
        rule = self.options.fall_rule
        if rule is None:
            return None
        own, base = (
            rule.marks(episodes.returns, episodes.flags, self.threshold, episodes.source)
            for episodes in (self.candidate, self.baseline)
        )
        return ObservedFalls(rule.in_words(self.threshold), own, base, FallLimit.of(self.options.max_falls))


def _episodes(given: EpisodesLike, name: str) -> Episodes:
    if isinstance(given, Episodes):
        return given
    if isinstance(given, str | Path):
        return read_episodes(given)
    try:
        values = tuple(float(value) for value in given)
    except (TypeError, ValueError) as failure:
        raise EpisodeFileError(
            f"The returns of the {name} are no list of numbers.", got=str(failure), expected="one number per episode"
        ) from failure
    return Episodes(values, source=f"the {name}")


def _pilot(options: CertifyOptions) -> int:
    """Episodes that certify nothing: where limits, or what a fall is, are taken from the first of them."""
    rule = options.fall_rule
    stated = options.worst_return is not None and options.best_return is not None
    return 0 if stated and (rule is None or rule.kind != "score") else options.pilot_episodes


def _too_few(episodes: Episodes, pilot: int) -> EpisodeFileError:
    why = f", the first {pilot} of which the limits are taken from" if pilot else ""
    return EpisodeFileError(
        f"{episodes.source} holds too few episodes.",
        got=str(len(episodes.returns)),
        expected=f"at least {pilot + _FEWEST}{why}",
        hint="Play more. With --worst-return and --best-return no episode is used for the limits."
        if pilot
        else "Play more: a certificate needs about a hundred.",
    )
