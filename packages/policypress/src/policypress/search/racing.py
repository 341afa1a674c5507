"""The race: candidates play more episodes only while more could change what is thought of them.

Its seeds choose, so nothing that is seen here certifies anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from policypress.compression.recipe import Recipe
from policypress.engine.events import DecisionMade
from policypress.engine.tasks.task import Failure
from policypress.measurement.certificate.certifying import refusal
from policypress.measurement.certificate.error_budget import error_share
from policypress.measurement.certificate.fall_rule import FallLimit, FallRule
from policypress.measurement.certificate.limits import Limits, declared
from policypress.measurement.certificate.paired_retention import paired_retention
from policypress.measurement.certificate.planning import plan_episodes
from policypress.measurement.statistics import Interval, Missing
from policypress.records import ArtifactRecord
from policypress.search.history import CandidateResult, Stage
from policypress.search.session import EpisodeRequest, Session
from policypress_runtime.errors import StudyInputError

LEVELS = (10, 20, 40)
"""Episodes of each level; a candidate plays one level after the other."""
# A race may be wrong; certification corrects it.
CONFIDENCE = 0.9
PURPOSE = "search/race"
Judgement = Literal["promising", "lost", "open"]


@dataclass
class Candidate:
    """A candidate recipe in a running search: the stage it has reached, and why it went no further.

    ``same_as`` is the text of an earlier candidate whose artifact computes the same.
    """

    recipe: Recipe
    record: ArtifactRecord | None = None
    value: float | None = None
    stage: Stage = "failed"
    reason: str = ""
    episodes: int = 0
    same_as: str = ""

    @property
    def text(self) -> str:
        """The recipe's text."""
        return self.recipe.text

    def tried(self) -> CandidateResult:
        """The candidate's entry in the history."""
        return CandidateResult(self.text, self.stage, self.reason, self.value, self.episodes)


@dataclass(frozen=True)
class AcceptanceCriterion:
    """The acceptance criterion: the share of the return to keep, certified with at most ``limit`` pairs of episodes.

    ``worst_return`` and ``best_return`` are the limits of a return that the user states, ``known_limits`` those that
    the environment's rewards have; ``fall_rule`` says what a fall is, ``fall_limit`` how frequent they may be. Between
    looks at a certificate lies ``look_every`` of the planned pairs.
    """

    keep: float
    confidence: float
    limit: int
    deterministic: bool = False
    worst_return: float | None = None
    best_return: float | None = None
    known_limits: tuple[float | None, float | None] = (None, None)
    fall_rule: FallRule | None = None
    fall_limit: FallLimit | None = None
    look_every: float = 0.1

    def limits(self, returns: Iterable[float]) -> Limits:
        """Limits of a return, from all episodes so far where they are neither stated nor known."""
        return declared(returns, worst=self.worst_return, best=self.best_return, known=self.known_limits)


class Race:
    """Candidates of one session against the baseline, on the same seeds."""

    def __init__(self, session: Session, criterion: AcceptanceCriterion) -> None:
        self._session = session
        self._criterion = criterion
        self.levels = (1,) if criterion.deterministic else LEVELS

    def refused(self) -> str | None:
        """Why nothing can be certified against this baseline, or None.

        Raises:
            StudyInputError: falls are marked by a key of ``info`` that no episode had.
        """
        for level in range(len(self.levels)):
            self._reference(level)
            self._check_marked(level)
            base, random = self.returns(Recipe(), level), self.returns(None, level)
            alpha = error_share(self._criterion.confidence, 1)
            reason = refusal(base, random, alpha, deterministic=self._criterion.deterministic)
            if reason is None or level + 1 == len(self.levels):
                return None if reason is None else ". ".join((reason, *self._session.suspects))
        return None

    def _check_marked(self, level: int) -> None:
        """Nothing would ever be a fall if the environment does not know the key."""
        rule = self._criterion.fall_rule
        plays = [self._play(recipe, level) for recipe in (Recipe(), None)]
        rows = [row for play in plays for row in self._session.episodes(play)]
        if rule is not None and rule.kind == "info" and all(row.fell is None for row in rows):
            raise StudyInputError(
                "The environment does not say which episodes are falls.",
                got=f"no {rule.key} in info, in {len(rows)} episodes of the agent and of random actions",
                expected=f"a {rule.key} that is true or false",
                hint="Name a key of the environment's info, or say otherwise what a fall is: --falls 'score<0.5'.",
            )

    def run(self, candidates: Sequence[Candidate]) -> None:
        """Race ``trials`` level by level; each ends as ``promising``, or ``raced`` with the reason why it lost."""
        left = list(candidates)
        for level in range(len(self.levels)):
            if not left:
                return
            failures = self._reference(level, [self._play(candidate.recipe, level) for candidate in left])
            for index, candidate in enumerate(left):
                if index in failures:
                    candidate.stage, candidate.reason = "failed", failures[index].message
                else:
                    self._judge(candidate, level)
            left = [candidate for candidate in left if candidate.stage == "built"]

    def surely_loses(self, candidate: Candidate) -> bool:
        """Whether the episodes that the candidate has played leave no hope that it keeps enough."""
        last = len(self.levels) - 1
        own = self.returns(candidate.recipe, last)
        base, random = self.returns(Recipe(), last)[: len(own)], self.returns(None, last)
        if not own or self._criterion.deterministic:
            return candidate.stage != "promising"
        found = paired_retention(base, own, random, CONFIDENCE)
        return isinstance(found, Interval) and found.upper < self._criterion.keep

    def returns(self, recipe: Recipe | None, level: int) -> list[float]:
        """Returns of ``recipe`` (None: random actions) up to and with ``level``."""
        plays = [self._play(recipe, i) for i in range(level + 1)]
        return [value for play in plays for value in self._session.returns(play)]

    def _play(self, recipe: Recipe | None, level: int) -> EpisodeRequest:
        """A level's episodes; one episode of random actions would say nothing."""
        count = self.levels[level] if recipe is not None else max(self.levels[level], LEVELS[0])
        return EpisodeRequest(recipe, f"{PURPOSE}/{level + 1}", count)

    def _reference(self, level: int, others: Sequence[EpisodeRequest] = ()) -> dict[int, Failure]:
        """Baseline and random actions play along with ``others``; index → failure of those."""
        own = [self._play(Recipe(), level), self._play(None, level)]
        failures = self._session.play([*own, *others])
        for index in range(len(own)):
            if index in failures:
                raise failures[index].exception()
        return {index - len(own): failure for index, failure in failures.items()}

    def _judge(self, candidate: Candidate, level: int) -> None:
        own = self.returns(candidate.recipe, level)
        base, random = self.returns(Recipe(), level), self.returns(None, level)
        candidate.episodes = len(own)
        last = level + 1 == len(self.levels)
        judgement, candidate.reason = judge(base, own, random, self._criterion, last=last)
        candidate.stage = {"promising": "promising", "lost": "raced", "open": "built"}[judgement]  # type: ignore[assignment]
        if judgement != "open":
            self._session.on_event(DecisionMade(f"{candidate.text}: {candidate.reason}"))


def judge(
    base: Sequence[float], own: Sequence[float], random: Sequence[float], criterion: AcceptanceCriterion, *, last: bool
) -> tuple[Judgement, str]:
    """Whether a candidate should be certified, is out, or has to play on; and why, in words.

    It is out where it surely keeps too little, or where the gate would need more episodes than there are.
    """
    if criterion.deterministic:
        gap = base[0] - sum(random) / len(random)
        kept = (own[0] - sum(random) / len(random)) / gap
        return ("promising" if kept >= criterion.keep else "lost"), f"keeps {kept:.4f} in the one episode there is"
    found = paired_retention(base, own, random, CONFIDENCE)
    if isinstance(found, Missing):
        return ("lost" if last else "open"), found.reason
    told = f"keeps {found.estimate:.3f} [{found.lower:.2f}, {found.upper:.2f}] in {len(own)} episodes"
    if found.upper < criterion.keep:
        return "lost", told
    plan = plan_episodes(
        base,
        own,
        random,
        keep=criterion.keep,
        alpha=error_share(criterion.confidence, 1),
        limits=criterion.limits([*base, *own, *random]),
        limit=criterion.limit,
    )
    if plan.episodes is not None and (last or _sure(found, criterion, len(own))):
        return "promising", told
    return ("lost" if last else "open"), f"{told}; {plan.reason}"


def _sure(found: Interval, criterion: AcceptanceCriterion, episodes: int) -> bool:
    return found.lower >= criterion.keep and episodes >= sum(LEVELS[:2])
