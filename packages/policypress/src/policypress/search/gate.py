"""Certification of a candidate: as many held-out episodes as needed, and the certificate."""

from __future__ import annotations

from policypress.compression.recipe import Recipe
from policypress.engine.events import DecisionMade
from policypress.search.certification import Certificate, certify, error_share, plan_episodes
from policypress.search.finalists import least_costs_s
from policypress.search.history import Certification
from policypress.search.racing import AcceptanceCriterion, Candidate, Race
from policypress.search.session import CERTIFICATION, EpisodeRequest, Session
from policypress.search.time_budget import TimeBudget

RANDOM_EPISODES = 100
# Building and racing the baseline takes so long; with the fewest candidates worth a search, so many times that.
CANDIDATES = 3
# A candidate that misses the bar by chance may play on: its bound holds at every length.
EXTENSIONS = 2


class Gate:
    """Certifies candidates of one session, one after the other."""

    def __init__(self, session: Session, criterion: AcceptanceCriterion, max_episodes: int, budget: TimeBudget) -> None:
        self.max_episodes = max_episodes
        self._budget = budget
        self._session = session
        self._criterion = criterion
        self._blocks: list[EpisodeRequest] = []

    def episodes_spent(self) -> float:
        """Share of the episodes that are spent, those that one certificate may take counted in."""
        return self._session.count() / max(self.max_episodes - 2 * self._criterion.limit, 1)

    def certify(self, candidate: Candidate, race: Race) -> Certification | None:
        """Try to certify ``trial``; None where that would take more episodes than there are (its reason says so)."""
        number, known = self._number(candidate)
        alpha = error_share(self._criterion.confidence, number)
        planned = known or self._planned(candidate, race, alpha)
        if planned is None:
            return None
        self._session.on_event(
            DecisionMade(
                f"certifying {candidate.text} on {planned} held-out episodes, against the baseline on as many others"
            )
        )
        own = [EpisodeRequest(candidate.recipe, f"{CERTIFICATION}/{number}", planned)]
        base, random = self._reference(planned)
        certificate = self._judged(own, base, random, alpha)
        for extension in range(EXTENSIONS):
            more = self._more(certificate, own, base, random, alpha)
            if more is None:
                break
            self._session.on_event(DecisionMade(f"undecided: {certificate.reason}; {more} more episodes may settle it"))
            own.append(EpisodeRequest(candidate.recipe, f"{CERTIFICATION}/{number}/{extension + 2}", more))
            certificate = self._judged(own, base, random, alpha)
        return Certification(
            number, candidate.text, planned, certificate, tuple(self._returns(own)), tuple(self._returns(base))
        )

    def _number(self, candidate: Candidate) -> tuple[int, int | None]:
        """The candidate's number, and its episodes if it was certified before."""
        before = self._session.certified_before()
        mine = {number: episodes for number, (recipe, episodes) in before.items() if recipe == candidate.text}
        if mine:
            number = min(mine)
            return number, mine[number]
        return max(before, default=0) + 1, None

    def _planned(self, candidate: Candidate, race: Race, alpha: float) -> int | None:
        last = len(race.levels) - 1
        base, random = race.returns(Recipe(), last), race.returns(None, last)
        own = race.returns(candidate.recipe, last)
        plan = plan_episodes(
            base,
            own,
            random,
            keep=self._criterion.keep,
            alpha=alpha,
            limit=self._limit(),
            deterministic=self._criterion.deterministic,
        )
        if plan.episodes is None:
            late = "; the time that is left allows no more" if self._in_time() < self._criterion.limit else ""
            candidate.reason = f"not worth certifying with an error budget of {alpha:.4g}: {plan.reason}{late}"
        return plan.episodes

    def _limit(self) -> int:
        """Episodes that a candidate may play, if the baseline plays as many."""
        return min(self._criterion.limit, (self.max_episodes - self._session.count()) // 2, self._in_time())

    def _in_time(self) -> int:
        """Episodes of a candidate, and as many of the baseline, that the time that is left allows."""
        return max(int(self._left_s() / (2 * self._session.episode_s())), 0)

    def _left_s(self) -> float:
        return self._budget.left_for_certificate_s(least_costs_s())

    def certificate_s(self, race: Race) -> float:
        """What a certificate of the baseline against itself would take here, in seconds; candidates take more."""
        last = len(race.levels) - 1
        base, random = race.returns(Recipe(), last), race.returns(None, last)
        plan = plan_episodes(
            base,
            base,
            random,
            keep=self._criterion.keep,
            alpha=error_share(self._criterion.confidence, 1),
            limit=self._criterion.limit,
            deterministic=self._criterion.deterministic,
        )
        return 2 * (plan.episodes or self._criterion.limit) * self._session.episode_s()

    def least_s(self, certificate_s: float) -> float:
        """What cannot be left out, in seconds from the start: a few candidates, a certificate, and costs."""
        costs_s = least_costs_s() if self._budget.costs else 0.0
        return CANDIDATES * self._budget.elapsed_s() + certificate_s + costs_s

    def _reference(self, episodes: int) -> tuple[list[EpisodeRequest], list[EpisodeRequest]]:
        """At least ``episodes`` of the baseline, which candidates share, and some of random actions."""
        have = sum(block.episodes for block in self._blocks)
        if have < episodes:
            purpose = f"{CERTIFICATION}/baseline/{len(self._blocks) + 1}"
            self._blocks.append(EpisodeRequest(Recipe(), purpose, episodes - have))
        return list(self._blocks), [EpisodeRequest(None, f"{CERTIFICATION}/random", RANDOM_EPISODES)]

    def _judged(
        self, own: list[EpisodeRequest], base: list[EpisodeRequest], random: list[EpisodeRequest], alpha: float
    ) -> Certificate:
        failures = self._session.play([*own, *base, *random])
        if failures:
            raise next(iter(failures.values())).exception()
        reference, returns, floor = (self._returns(plays) for plays in (base, own, random))
        return certify(
            reference,
            returns,
            floor,
            keep=self._criterion.keep,
            alpha=alpha,
            deterministic=self._criterion.deterministic,
        )

    def _more(
        self,
        found: Certificate,
        own: list[EpisodeRequest],
        base: list[EpisodeRequest],
        random: list[EpisodeRequest],
        alpha: float,
    ) -> int | None:
        """How many more episodes may turn the verdict, if any; at most twice what was played."""
        if found.verdict != "not certified" or self._criterion.deterministic:
            return None
        reference, returns, floor = (self._returns(plays) for plays in (base, own, random))
        have = len(returns)
        spare = int(self._left_s() / self._session.episode_s())
        limit = min(
            self._criterion.limit, self.max_episodes - self._session.count() + have, 3 * have, have + max(spare, 0)
        )
        plan = plan_episodes(
            reference,
            returns,
            floor,
            keep=self._criterion.keep,
            alpha=alpha,
            limit=limit,
            references=len(reference),
        )
        return None if plan.episodes is None or plan.episodes <= have else plan.episodes - have

    def _returns(self, plays: list[EpisodeRequest]) -> list[float]:
        return [value for play in plays for value in self._session.returns(play)]
