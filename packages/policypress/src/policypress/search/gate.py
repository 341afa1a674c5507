"""Certification of a candidate: pairs of episodes on fresh seeds until it is certain, or until it cannot become so.

The limits of a return are declared before the first of these episodes, from every episode until then, and kept in the
store: a run that was interrupted goes on under the limits that it began with.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from policypress.compression.recipe import Recipe
from policypress.engine.events import DecisionMade
from policypress.measurement.certificate.certifying import (
    Certificate,
    Samples,
    certify_deterministic,
    certify_returns,
)
from policypress.measurement.certificate.error_budget import error_share
from policypress.measurement.certificate.fall_rule import TERMINATED, FallRule
from policypress.measurement.certificate.falls import ObservedFalls
from policypress.measurement.certificate.limits import Limits
from policypress.measurement.certificate.planning import (
    RANDOM_EPISODES,
    pass_probability,
    plan_episodes,
    with_price,
)
from policypress.records import EpisodeRecord
from policypress.search.finalists import least_costs_s
from policypress.search.history import Certification
from policypress.search.racing import AcceptanceCriterion, Candidate, Race
from policypress.search.session import CERTIFICATE, RANDOM_CERTIFYING, EpisodeRequest, Session
from policypress.search.time_budget import TimeBudget

# Building and racing the baseline takes so long; with the fewest candidates worth a search, so many times that.
CANDIDATES = 3
MILD_NUMBER = 2
"""The number, and with it the error, that is kept for a mild recipe where the first candidates fail."""
LEAST_CHANCE = 0.25
"""What is certified with a smaller probability is not tried, unless it is all that is left."""
# With a smaller one no further block is played.
_LEAST_HOPE = 0.1
# A policy that ignores its seed does so in each of these.
DETERMINISTIC_EPISODES = 3
# Of the planned pairs, those that are played before the first look; and the fewest between looks.
_FIRST, _FEWEST = 0.3, 10
# What is planned of a mild recipe whose race says that no number is enough: races err.
_UNPLANNED = 400
_DRAWN = EpisodeRequest(None, RANDOM_CERTIFYING, RANDOM_EPISODES)
# A candidate that misses the bar by chance may play on, up to so many times what was planned.
_MOST_TIMES = 3.0
# What is kept for a mild recipe is planned with four successes in five; so much more of it may be played.
_MILD_SPARE = 1.5


@dataclass(frozen=True)
class Declared:
    """What was settled before the first episode of a certification."""

    limits: Limits
    threshold: float
    planned: int

    def to_text(self) -> str:
        """JSON, for the store."""
        return json.dumps({**self.limits.to_json(), "threshold": self.threshold, "planned": self.planned})

    @staticmethod
    def from_text(text: str) -> Declared:
        """Inverse of :meth:`to_text`."""
        data = json.loads(text)
        limits = Limits(data["low"], data["high"], data["low_from"], data["high_from"])
        return Declared(limits, data["threshold"], data["planned"])


class Gate:
    """Certifies candidates of one session, one after the other.

    ``kept_pairs`` are those that building and racing must leave; ``mild_pairs`` those of them that only a mild recipe
    may take.
    """

    def __init__(self, session: Session, criterion: AcceptanceCriterion, max_episodes: int, budget: TimeBudget) -> None:
        self.max_episodes = max_episodes
        self.kept_pairs = criterion.limit
        self.mild_pairs = 0
        self._budget = budget
        self._session = session
        self._criterion = criterion
        self._won = False

    def release(self) -> None:
        """Something is certified: nothing is kept for a mild recipe any more, nor may costs lose their time."""
        self._won, self.mild_pairs, self.kept_pairs = True, 0, 0
        self._budget.keep_for_certificate(0.0)

    def chance(self, candidate: Candidate, race: Race) -> float:
        """Probability that the candidate is certified, were it the next, with what is left of time and episodes."""
        number = self._number(candidate, mild=False)
        if self._criterion.deterministic or number in self._session.certified_before():
            return 1.0
        return self._chance(candidate, race, error_share(self._criterion.confidence, number), self.pairs_left())

    def _chance(self, candidate: Candidate, race: Race, alpha: float, pairs: int) -> float:
        last = len(race.levels) - 1
        own = race.returns(candidate.recipe, last)
        base, random = race.returns(Recipe(), last), race.returns(None, last)
        limits, keep = self._limits(race, last), self._criterion.keep
        return pass_probability(base, own, random, keep=keep, alpha=alpha, limits=limits, pairs=pairs)

    def episodes_spent(self) -> float:
        """Share of the episodes that are spent, those that certificates are likely to take counted in."""
        return self._session.count() / max(self.max_episodes - 2 * self.kept_pairs, 1)

    def certify(self, candidate: Candidate, race: Race, *, mild: bool = False) -> Certification | None:
        """Try to certify ``candidate``; None where it would take more episodes than there are (its reason says so).

        Args:
            candidate: that was raced.
            race: whose episodes say what to expect.
            mild: it is what a search ends with rather than with nothing, so it may take all that is left.
        """
        number = self._number(candidate, mild=mild)
        alpha = error_share(self._criterion.confidence, number)
        if self._criterion.deterministic:
            return self._exactly(candidate, number, alpha)
        settled = self._settled(candidate, race, number, alpha, mild=mild)
        if settled is None:
            return None
        self._session.on_event(
            DecisionMade(
                f"certifying {candidate.text} on about {settled.planned} held-out pairs of episodes with the baseline; "
                f"an episode counts as at least {settled.limits.low:.4g} and at most {settled.limits.high:.4g}"
            )
        )
        own: list[EpisodeRecord] = []
        base: list[EpisodeRecord] = []
        while True:
            size = _next_block(len(own), settled.planned, self._criterion.look_every)
            purpose = f"{CERTIFICATE}/{number}/{len(own)}"
            plays = [EpisodeRequest(recipe, purpose, size) for recipe in (candidate.recipe, Recipe())]
            self._play(plays if own else [_DRAWN, *plays])
            random = self._session.episodes(_DRAWN)
            own += self._session.episodes(plays[0])
            base += self._session.episodes(plays[1])
            found = self._judged(own, base, random, alpha, settled)
            if found.verdict != "not certified" or not self._worth_more(found, own, base, random, settled, mild=mild):
                break
        returns, references, floor = (_returns(rows) for rows in (own, base, random))
        found = with_price(found, Samples(np.array(returns), np.array(references), np.array(floor)))
        return Certification(number, candidate.text, settled.planned, found, tuple(returns), tuple(references))

    def expected_pairs(self, race: Race, number: int) -> int | None:
        """Pairs that a policy as good as the baseline, whose episodes are its own, takes as the ``number``-th."""
        last = len(race.levels) - 1
        base, random = race.returns(Recipe(), last), race.returns(None, last)
        plan = plan_episodes(
            base,
            [*base[1:], base[0]],
            random,
            keep=min(self._criterion.keep, 0.999),
            alpha=error_share(self._criterion.confidence, number),
            limits=self._limits(race, last),
        )
        return 1 if self._criterion.deterministic else plan.episodes

    def keep_pairs(self, first: int | None, mild: int | None) -> str | None:
        """Keep back what certificates are expected to take; says where there are too few episodes for one."""
        limit = self._criterion.limit
        self.mild_pairs = min(mild or limit, limit)
        self.kept_pairs = min((first or limit) + self.mild_pairs, limit)
        if mild is None:
            return (
                "Returns vary so much that a certificate takes more episodes than can be planned, unless those of a "
                "candidate go with the agent's. --keep with a smaller share needs fewer."
            )
        needed = max(self._session.count() + 2 * mild, round(mild / limit * self.max_episodes))
        if needed <= self.max_episodes:
            return None
        return (
            f"--max-episodes {self.max_episodes} may be too few: a certificate of a policy as good as the agent takes "
            f"about {mild} pairs of episodes where returns do not go together. {needed} would be enough."
        )

    def certificate_s(self, pairs: int | None) -> float:
        """What so many pairs take here, in seconds."""
        return 2 * (pairs or self._criterion.limit) * self._session.episode_s()

    def least_s(self, certificate_s: float) -> float:
        """What cannot be left out, in seconds from the start: a few candidates, a certificate, and costs."""
        costs_s = least_costs_s() if self._budget.costs else 0.0
        return CANDIDATES * self._budget.elapsed_s() + certificate_s + costs_s

    def _number(self, candidate: Candidate, *, mild: bool) -> int:
        """The candidate's number: the one that it was certified under before, or one that was given to no other."""
        spent = self._session.numbers_spent()
        for number in sorted(self._session.certified_before()):
            if self._session.certified_before()[number] != candidate.text:
                continue
            known = self._known(candidate, number)
            if self._criterion.deterministic or (known is not None and self._as_stated(known.limits)):
                return number
        free = (number for number in range(1, len(spent) + 3) if number not in spent)
        return next(number for number in free if mild or self._won or number != MILD_NUMBER)

    def _as_stated(self, limits: Limits) -> bool:
        """Whether limits are what the user states now, where something is stated."""
        stated = [value if source == "stated" else None for value, source in zip(*_sides(limits), strict=True)]
        return stated == [self._criterion.worst_return, self._criterion.best_return]

    def _note(self, candidate: Candidate, number: int) -> str:
        key = self._session.key(EpisodeRequest(candidate.recipe, f"{CERTIFICATE}/{number}", 0))
        return f"{CERTIFICATE}/{key}"

    def _known(self, candidate: Candidate, number: int) -> Declared | None:
        text = self._session.store.note(self._note(candidate, number))
        return None if text is None else Declared.from_text(text)

    def _settled(self, candidate: Candidate, race: Race, number: int, alpha: float, *, mild: bool) -> Declared | None:
        """Limits and the number of pairs; None where there are too few."""
        known = self._known(candidate, number)
        if known is not None:
            return known
        last = len(race.levels) - 1
        base, random = race.returns(Recipe(), last), race.returns(None, last)
        own = race.returns(candidate.recipe, last)
        limits, limit = self._limits(race, last), self.pairs_left(mild=mild)
        plan = plan_episodes(
            base, own, random, keep=self._criterion.keep, alpha=alpha, limits=limits, limit=max(limit, 1)
        )
        planned = plan.episodes
        if planned is None and limit > _FEWEST:
            worth = mild or self._chance(candidate, race, alpha, limit) >= LEAST_CHANCE
            planned = min(limit, _UNPLANNED) if worth else None
        if planned is None:
            late = "; the time that is left allows no more" if self._in_time() < self._criterion.limit else ""
            candidate.reason = f"not worth certifying with an error budget of {alpha:.4g}: {plan.reason}{late}"
            return None
        rule = self._criterion.fall_rule
        zero, mean = float(np.mean(random)), float(np.mean(base))
        settled = Declared(limits, 0.0 if rule is None else rule.threshold(mean, zero), planned)
        self._session.store.set_note(self._note(candidate, number), settled.to_text())
        return settled

    def _limits(self, race: Race, last: int) -> Limits:
        """Limits from every episode that was played so far, of whatever policy."""
        values = [*self._session.all_returns(), *race.returns(Recipe(), last), *race.returns(None, last)]
        return self._criterion.limits(values)

    def pairs_left(self, *, mild: bool = False, have: int = 0) -> int:
        """Pairs that a candidate that has played ``have`` may still play.

        What was kept for a mild recipe it may have, though something else took longer than it should have: a search
        that is a little late is better than one that ends with nothing.
        """
        in_time = self._in_time()
        if mild:
            in_time = max(in_time, (round(_MILD_SPARE * self.mild_pairs) if have else self.mild_pairs) - have)
        left = min((self.max_episodes - self._session.count()) // 2, in_time)
        # Half at most is kept for a mild recipe: what is in hand counts, too.
        kept = 0 if mild else min(self.mild_pairs, left // 2)
        return max(min(self._criterion.limit, left - kept), 0)

    def _in_time(self) -> int:
        """Pairs that the time that is left allows."""
        budget = self._budget
        left_s = budget.left_s() if self._won else budget.left_for_certificate_s(least_costs_s())
        return max(int(left_s / (2 * self._session.episode_s())), 0)

    def _worth_more(
        self,
        found: Certificate,
        own: list[EpisodeRecord],
        base: list[EpisodeRecord],
        random: list[EpisodeRecord],
        settled: Declared,
        *,
        mild: bool,
    ) -> bool:
        """Whether another block may turn the verdict."""
        have, most = len(own), int(_MOST_TIMES * settled.planned)
        limit = min(have + self.pairs_left(mild=mild, have=have), max(most, settled.planned))
        if have + _FEWEST > limit:
            return False
        if mild and have < settled.planned:
            return True
        returns = [_returns(rows) for rows in (base, own, random)]
        keep, alpha, limits = self._criterion.keep, found.alpha, settled.limits
        hope = pass_probability(*returns, keep=keep, alpha=alpha, limits=limits, pairs=limit)
        return hope >= _LEAST_HOPE

    def _judged(
        self,
        own: list[EpisodeRecord],
        base: list[EpisodeRecord],
        random: list[EpisodeRecord],
        alpha: float,
        settled: Declared,
    ) -> Certificate:
        rule, falls = self._criterion.fall_rule, None
        if rule is not None:
            marks = [
                rule.marks(_returns(rows), _flags(rows, rule), settled.threshold, "The search") for rows in (own, base)
            ]
            falls = ObservedFalls(rule.in_words(settled.threshold), marks[0], marks[1], self._criterion.fall_limit)
        return certify_returns(
            _returns(base),
            _returns(own),
            _returns(random),
            keep=self._criterion.keep,
            alpha=alpha,
            limits=settled.limits,
            falls=falls,
        )

    def _exactly(self, candidate: Candidate, number: int, alpha: float) -> Certification:
        """The certificate of a policy whose episodes are all the same, which several seeds have to bear out."""
        purpose = f"{CERTIFICATE}/{number}"
        plays = [EpisodeRequest(recipe, purpose, DETERMINISTIC_EPISODES) for recipe in (candidate.recipe, Recipe())]
        self._play(plays)
        own, base = (self._session.episodes(play) for play in plays)
        random = self._random()
        returns, references = _returns(own), _returns(base)
        same = all(len({(row.episode_return, row.length) for row in rows}) == 1 for rows in (own, base))
        if same:
            found = certify_deterministic(references, returns, _returns(random), keep=self._criterion.keep, alpha=alpha)
        else:
            reason = "the environment looks at its seed with this policy, though it did not with the agent"
            found = Certificate(
                "not certified", reason, self._criterion.keep, alpha, len(own), len(base), len(random), "deterministic"
            )
        return Certification(number, candidate.text, DETERMINISTIC_EPISODES, found, tuple(returns), tuple(references))

    def _random(self) -> list[EpisodeRecord]:
        """Episodes of random actions, the same for all candidates: ``docs/certification.md`` says why that is sound."""
        self._play([_DRAWN])
        return self._session.episodes(_DRAWN)

    def _play(self, plays: Sequence[EpisodeRequest]) -> None:
        failures = self._session.play(plays)
        if failures:
            raise next(iter(failures.values())).exception()


def _next_block(have: int, planned: int, step: float) -> int:
    """Pairs until the next look."""
    return max(round((step if have else max(step, _FIRST)) * planned), _FEWEST)


def _sides(limits: Limits) -> tuple[tuple[float, float], tuple[str, str]]:
    return (limits.low, limits.high), (limits.low_from, limits.high_from)


def _returns(rows: Sequence[EpisodeRecord]) -> list[float]:
    return [row.episode_return for row in rows]


def _flags(rows: Sequence[EpisodeRecord], rule: FallRule) -> dict[str, tuple[bool, ...]]:
    flags = {TERMINATED: tuple(row.ending == "terminated" for row in rows)}
    return flags | ({rule.key: tuple(bool(row.fell) for row in rows)} if rule.kind == "info" else {})
