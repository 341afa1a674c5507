"""The search strategy: build, filter by action error, race, certify. The certificate decides.

1. Every training-free family is built. Of what is smaller than the baseline, the Pareto front of value and action
   error is what the race is about: the rest is larger and acts worse.
2. Along the front retention falls as size does, nearly always, so it is bisected; where it does not, a few smaller
   ones beside the front get their chance.
3. Trained families are bisected likewise, where their untrained twins say that they would be smaller still.
4. The smallest candidate that is likely to be certified, with the time and the episodes that are left, is certified on
   fresh seeds. If it fails, the next one is tried with less of the error; if it passes, smaller ones are, as long as
   they have a chance.
5. Error, episodes and time for a mild recipe are kept back until something is certified, so that a search ends with
   that rather than with nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from policypress.compression.recipe import Recipe
from policypress.engine.events import DecisionMade, PhaseStarted
from policypress.records import ArtifactRecord
from policypress.search.front import error_of, front, known, same_before, spread
from policypress.search.gate import MILD_NUMBER, Gate
from policypress.search.history import Certification, Ending, SearchHistory
from policypress.search.ladders import Family, coarse_to_fine, families
from policypress.search.next_attempt import SURE, next_attempt
from policypress.search.objective import BASELINE, Objective
from policypress.search.racing import AcceptanceCriterion, Candidate, Race
from policypress.search.session import Session
from policypress.search.time_budget import TimeBudget, slowness

# Shares of the time: until when something new is built, and until when raced; the rest is the certificate's.
BUILD_SHARE, RACE_SHARE = 0.5, 0.8
# Before one was timed: on one core of a server of 3 GHz.
FIRST_TRAINING_S = 40.0
PATIENCE = 3
CERTIFICATE_MARGIN = 2.0
MOST_ATTEMPTS = 6


class Search:
    """One search; :meth:`run` does it."""

    def __init__(
        self,
        session: Session,
        objective: Objective,
        criterion: AcceptanceCriterion,
        gate: Gate,
        budget: TimeBudget,
        *,
        training: bool = True,
    ) -> None:
        self._session = session
        self._objective = objective
        self._criterion = criterion
        self._gate = gate
        self._budget = budget
        self._families = families(trained=training)
        self._race = Race(session, criterion)
        self._trials: dict[str, Candidate] = {}
        self._attempts: list[Certification] = []
        self._base: ArtifactRecord | None = None
        self._limit = 0.0

    def run(self) -> SearchHistory:
        """Search to the end, or to where it is interrupted; what was found is in the history either way."""
        try:
            refused = self._prepare()
            if refused is not None:
                return self._history("refused", f"Nothing can be certified: {refused}.")
            self._build_untrained()
            self._descend(self._pool())
            self._probe()
            self._train()
            won = self._certify() or self._certify_mild()
        except KeyboardInterrupt:
            return self._history("interrupted", "Interrupted; run the same command to continue.")
        if won is None:
            return self._history("nothing certified", self._why_nothing())
        return self._history("certified", self._in_words(won))

    def _prepare(self) -> str | None:
        """Build and race the baseline; why it cannot be the measure of anything, if so."""
        self._session.on_event(PhaseStarted("the fp32 baseline"))
        built = self._session.build([Recipe()])[BASELINE]
        if not isinstance(built, ArtifactRecord):
            raise built.exception()
        self._base = built
        self._limit = self._objective.values({BASELINE: built})[BASELINE]
        refused = self._race.refused()
        if refused is None:
            self._plan_ahead()
        return refused

    def _plan_ahead(self) -> None:
        """Keep back what certificates will take, and say at once where the budget is too small for one."""
        first, mild = (self._gate.expected_pairs(self._race, number) for number in (1, MILD_NUMBER))
        # A candidate's margin is smaller than the baseline's own.
        pairs = None if first is None else round(CERTIFICATE_MARGIN * first)
        told = [self._gate.keep_pairs(pairs, mild)]
        certificate_s = self._gate.certificate_s(pairs)
        told.append(self._budget.allow(self._gate.least_s(certificate_s)))
        self._budget.keep_for_certificate(certificate_s)
        for sentence in told:
            if sentence is not None:
                self._session.on_event(DecisionMade(sentence))

    def _build_untrained(self) -> None:
        # Rung by rung where they are slow: a family is never more than a few builds late.
        width = 2 * self._session.executor.capacity
        for family, recipes in coarse_to_fine([family for family in self._families if not family.trained]):
            for start in range(0, len(recipes), width):
                if self._spent() < BUILD_SHARE:
                    self._build(family, recipes[start : start + width])
        self._value(list(self._trials.values()))

    def _build(self, family: Family, recipes: Iterable[Recipe]) -> list[Candidate]:
        """Artifacts of ``recipes``, as trials."""
        self._session.on_event(PhaseStarted(f"building: {family.name}"))
        candidates = []
        wanted = list(recipes)
        for (text, built), recipe in zip(self._session.build(wanted).items(), wanted, strict=True):
            candidate = self._trials.setdefault(text, Candidate(recipe))
            if isinstance(built, ArtifactRecord):
                candidate.record, candidate.stage = built, "built"
                candidate.same_as = same_before(candidate, self._trials.values())
                candidate.reason = f"the same policy as {candidate.same_as}" if candidate.same_as else ""
            else:
                candidate.reason = built.message
            candidates.append(candidate)
        return candidates

    def _value(self, candidates: Sequence[Candidate]) -> None:
        """Give the trials their value. What has to be measured is so only for the front of size and action error."""
        records = {t.text: t.record for t in candidates if t.record is not None}
        if self._objective.measured:
            rough = front(list(records), lambda text: float(records[text].packed_bytes), lambda t: error_of(records[t]))
            records = {text: records[text] for text in rough}
        if self._base is None or not records:
            return
        for text, value in self._objective.values({BASELINE: self._base, **records}).items():
            if text in self._trials:
                self._trials[text].value = value

    def _pool(self) -> list[Candidate]:
        """Trials that were built and are better than the baseline."""
        pool = []
        for candidate in self._trials.values():
            if candidate.stage == "built" and candidate.value is not None and not candidate.same_as:
                if candidate.value < self._limit:
                    pool.append(candidate)
                else:
                    candidate.reason = f"no better than the baseline in {self._objective.minimize}"
        return pool

    def _descend(self, pool: Sequence[Candidate]) -> None:
        """Bisect the front of ``pool`` for the smallest promising trial."""
        self._session.on_event(PhaseStarted("racing"))
        left = self._front(pool)
        for candidate in pool:
            if candidate not in left:
                candidate.reason = "another candidate is smaller and has a smaller action error"
        while left and self._spent() < RACE_SHARE:
            chosen = spread(left, self._width())
            self._race.run(chosen)
            good = [t for t in chosen if t.stage == "promising"]
            best = min((known(t.value) for t in good), default=float("inf"))
            bad = [known(t.value) for t in chosen if t.stage != "promising" and known(t.value) < best]
            worst = max(bad, default=-1.0)
            left = [t for t in left if t not in chosen and worst < known(t.value) < best]
        self._explain()

    def _front(self, pool: Sequence[Candidate]) -> list[Candidate]:
        """Those of ``pool`` that no other beats in value and action error, smallest first."""
        texts = front([t.text for t in pool], lambda t: known(self._trials[t].value), self._error_of)
        return [self._trials[text] for text in texts]

    def _probe(self) -> None:
        """Give smaller ones a chance that bisection passed by, those that act closest to the agent first."""
        failures = 0
        while failures < PATIENCE and self._spent() < RACE_SHARE:
            best = self._best()
            bound = self._limit if best is None else known(best.value)
            open_ones = [t for t in self._trials.values() if t.stage == "built" and not t.same_as]
            rest = [t for t in open_ones if t.value is not None and t.value < bound]
            if not rest:
                return
            chosen = sorted(rest, key=lambda t: self._error_of(t.text))[: self._width()]
            self._race.run(chosen)
            lost = not any(t.stage == "promising" for t in chosen)
            failures = failures + 1 if lost else 0

    def _train(self) -> None:
        """Bisect the trained families over the rungs that would beat the best so far."""
        for family in self._families:
            rungs = [r for r in family.recipes() if self._promises_less(r)] if family.trained else []
            longest_s = FIRST_TRAINING_S * slowness() if rungs else 0.0
            while rungs and self._spent() < BUILD_SHARE and longest_s < self._left_s(RACE_SHARE):
                chosen = spread(rungs, self._session.executor.capacity)
                candidates = self._build(family, chosen)
                longest_s = max([longest_s, *(t.record.build_s for t in candidates if t.record is not None)])
                self._value(candidates)
                pool = [t for t in self._pool() if t in candidates]
                self._session.on_event(PhaseStarted("racing"))
                self._race.run(pool)
                good = [rungs.index(t.recipe) for t in candidates if t.stage == "promising"]
                bad = [rungs.index(t.recipe) for t in candidates if t.stage != "promising"]
                low = max(good, default=-1)
                high = min((i for i in bad if i > low), default=len(rungs))
                rungs = rungs[low + 1 : high]

    def _promises_less(self, recipe: Recipe) -> bool:
        """Whether a recipe with the same first step was built without training, and was smaller than the best."""
        best = self._best()
        bound = self._limit if best is None else known(best.value)
        twins = [t for t in self._trials.values() if t.recipe.steps and t.recipe.steps[0] == recipe.steps[0]]
        values = [t.value for t in twins if t.value is not None]
        return not values or min(values) < bound

    def _certify(self) -> Candidate | None:
        """Certify what is likely to pass, the smallest of it; then smaller ones, as long as they may pass."""
        won: Candidate | None = None
        while len(self._attempts) < (MOST_ATTEMPTS if won else MOST_ATTEMPTS - 1):
            candidate = self._next(won)
            if candidate is None:
                break
            if self._attempt(candidate, mild=candidate is self._mildest()):
                won = candidate
                self._gate.release()
        return won

    def _next(self, won: Candidate | None) -> Candidate | None:
        """What to certify next: first what an earlier call has tried, so that the same call goes the same way."""
        bound = self._limit if won is None else known(won.value)
        tried = self._session.certified_before()
        again = [t for number in sorted(tried) for t in self._promising(bound) if t.text == tried[number]]
        if again:
            return again[0]
        self._race_on(won)
        promising = self._promising(bound)
        chances = {t.text: self._gate.chance(t, self._race) for t in promising}
        return next_attempt(promising, chances, bound, certain=won is not None)

    def _race_on(self, won: Candidate | None) -> None:
        """Race what lies between what is known: below what is certified, or up to what will surely be."""
        if won is not None:
            below = [known(t.value) for t in self._trials.values() if t.stage != "built" and t.value is not None]
            bound = known(won.value)
            lowest = max((value for value in below if value < bound), default=0.0)
            if self._gate.pairs_left() >= self._attempts[-1].planned:
                self._descend([t for t in self._pool() if lowest < known(t.value) < bound])
            return
        sure: list[Candidate] = []
        while not sure and self._spent() < RACE_SHARE:
            promising = self._promising(self._limit)
            sure = [t for t in promising if self._gate.chance(t, self._race) >= SURE]
            largest = max((known(t.value) for t in promising), default=0.0)
            larger = [t for t in self._pool() if known(t.value) > largest]
            if sure or not larger:
                break
            self._session.on_event(PhaseStarted("racing"))
            self._race.run(spread(self._front(larger), self._width()))
        failed = [known(t.value) for t in self._trials.values() if t.stage == "not certified"]
        if failed:
            bound = min((known(t.value) for t in sure), default=float("inf"))
            self._descend([t for t in self._pool() if max(failed) < known(t.value) < bound])

    def _certify_mild(self) -> Candidate | None:
        """Certify what acts most like the agent, with the error and the episodes that were kept for it."""
        candidate = self._mildest()
        if candidate is None:
            return None
        if candidate.stage == "built":
            self._session.on_event(PhaseStarted("racing"))
            self._race.run([candidate])
        if self._race.surely_loses(candidate):
            return None
        return candidate if self._attempt(candidate, mild=True) else None

    def _attempt(self, candidate: Candidate, *, mild: bool) -> bool:
        """Whether the candidate is certified now."""
        self._session.on_event(PhaseStarted("certifying"))
        attempt = self._gate.certify(candidate, self._race, mild=mild)
        if attempt is None:
            candidate.stage = "raced"
        else:
            self._attempts.append(attempt)
            candidate.reason = attempt.certificate.reason
            candidate.stage = "certified" if attempt.certificate.certified else "not certified"
        if candidate.stage != "certified":
            self._session.on_event(DecisionMade(f"{candidate.text}: {candidate.reason}"))
        return candidate.stage == "certified"

    def _mildest(self) -> Candidate | None:
        """What is smaller than the baseline and acts most like it, of what was not tried to be certified."""
        able = [
            t
            for t in self._trials.values()
            if t.stage in ("built", "raced", "promising") and known(t.value) < self._limit
        ]
        return min(able, key=lambda t: (self._error_of(t.text), known(t.value)), default=None)

    def _best(self) -> Candidate | None:
        return min(self._promising(float("inf")), key=lambda t: known(t.value), default=None)

    def _promising(self, bound: float) -> list[Candidate]:
        """The promising trials that are smaller than ``bound``."""
        return [t for t in self._trials.values() if t.stage == "promising" and known(t.value) < bound]

    def _explain(self) -> None:
        """Say of what was not raced why: something smaller was good enough, or something milder was not."""
        best = self._best()
        for candidate in self._trials.values():
            if candidate.stage == "built" and candidate.value is not None and not candidate.reason:
                larger = best is not None and candidate.value > known(best.value)
                candidate.reason = (
                    "a smaller one is good enough" if larger else "a less compressed one keeps too little"
                )

    def _error_of(self, text: str) -> float:
        record = self._trials[text].record
        return float("inf") if record is None else error_of(record)

    def _width(self) -> int:
        """How many race at once: each level is at least two tasks."""
        return max(1, self._session.executor.capacity // 2)

    def _spent(self) -> float:
        """Share of the time, or of the episodes, that is spent: whichever is more."""
        return max(self._budget.spent(), self._gate.episodes_spent())

    def _left_s(self, share: float) -> float:
        return self._budget.left_s(share)

    def _in_words(self, won: Candidate) -> str:
        certificate = next(a.certificate for a in self._attempts if a.recipe == won.text)
        wanted = self._criterion
        return (
            f"{won.text} keeps at least {wanted.keep:g} of the return with confidence {wanted.confidence:g}: "
            f"lower bound {known(certificate.lower):.4f} on {certificate.episodes} held-out episodes."
        )

    def _why_nothing(self) -> str:
        late = " The budget was used up before all candidates were tried." if self._spent() >= RACE_SHARE else ""
        keep = self._criterion.keep
        return f"Nothing smaller was certified to keep {keep:g}; the fp32 artifact is what qualifies.{late}"

    def _history(self, ending: Ending, summary: str) -> SearchHistory:
        certified = [t for t in self._trials.values() if t.stage == "certified"]
        won = min(certified, key=lambda t: known(t.value)).text if certified else None
        return SearchHistory(
            keep=self._criterion.keep,
            confidence=self._criterion.confidence,
            minimize=self._objective.minimize,
            ending=ending,
            summary=summary,
            winner=won,
            tried=tuple(candidate.tried() for candidate in self._trials.values()),
            attempts=tuple(self._attempts),
            deterministic=self._criterion.deterministic,
            budget_s=self._budget.total_s,
            max_episodes=self._gate.max_episodes,
            episodes=self._session.count(),
            elapsed_s=self._budget.elapsed_s(),
        )
