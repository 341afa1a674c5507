"""The race: candidates play more episodes only while more could change what is thought of them.

Its seeds choose, so nothing that is seen here certifies anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from policypress.compression.recipe import Recipe
from policypress.engine.events import DecisionMade
from policypress.measurement.statistics import Interval, Missing, retention
from policypress.records import ArtifactRecord
from policypress.search.certification import error_share, plan_episodes, refusal
from policypress.search.history import Stage, Tried
from policypress.search.session import Play, Session

LEVELS = (10, 20, 40)
"""Episodes of each level; a candidate plays one level after the other."""
# A race may be wrong; certification corrects it.
CONFIDENCE = 0.9
PURPOSE = "search/race"
Judgement = Literal["promising", "lost", "open"]


@dataclass
class Trial:
    """One recipe on its way: how far it came, and why no further."""

    recipe: Recipe
    record: ArtifactRecord | None = None
    value: float | None = None
    stage: Stage = "failed"
    reason: str = ""
    episodes: int = 0

    @property
    def text(self) -> str:
        """The recipe's text."""
        return self.recipe.text

    def tried(self) -> Tried:
        """The line of the history."""
        return Tried(self.text, self.stage, self.reason, self.value, self.episodes)


@dataclass(frozen=True)
class Bar:
    """What a candidate has to clear: the share to keep, by a gate that may take ``limit`` episodes."""

    keep: float
    confidence: float
    limit: int
    deterministic: bool = False


class Race:
    """Candidates of one session against the baseline, on the same seeds."""

    def __init__(self, session: Session, bar: Bar) -> None:
        self._session = session
        self._bar = bar
        self.levels = (1,) if bar.deterministic else LEVELS

    def refused(self) -> str | None:
        """Why nothing can be certified of this baseline, if so."""
        for level in range(len(self.levels)):
            self._reference(level)
            base, random = self.returns(Recipe(), level), self.returns(None, level)
            alpha = error_share(self._bar.confidence, 1)
            reason = refusal(base, random, alpha, deterministic=self._bar.deterministic)
            if reason is None or level + 1 == len(self.levels):
                return None if reason is None else ". ".join((reason, *self._session.suspects))
        return None

    def run(self, trials: Sequence[Trial]) -> None:
        """Race ``trials`` level by level; each ends as ``promising``, or ``raced`` with the reason why it lost."""
        left = list(trials)
        for level in range(len(self.levels)):
            if not left:
                return
            self._reference(level)
            failures = self._session.play([self._play(trial.recipe, level) for trial in left])
            for index, trial in enumerate(left):
                if index in failures:
                    trial.stage, trial.reason = "failed", failures[index].message
                else:
                    self._judge(trial, level)
            left = [trial for trial in left if trial.stage == "built"]

    def returns(self, recipe: Recipe | None, level: int) -> list[float]:
        """Returns of ``recipe`` (None: random actions) up to and with ``level``."""
        plays = [self._play(recipe, i) for i in range(level + 1)]
        return [value for play in plays for value in self._session.returns(play)]

    def _play(self, recipe: Recipe | None, level: int) -> Play:
        """A level's episodes; one episode of random actions would say nothing."""
        count = self.levels[level] if recipe is not None else max(self.levels[level], LEVELS[0])
        return Play(recipe, f"{PURPOSE}/{level + 1}", count)

    def _reference(self, level: int) -> None:
        """Baseline and random actions play along."""
        failures = self._session.play([self._play(Recipe(), level), self._play(None, level)])
        if failures:
            raise next(iter(failures.values())).exception()

    def _judge(self, trial: Trial, level: int) -> None:
        own = self.returns(trial.recipe, level)
        base, random = self.returns(Recipe(), level), self.returns(None, level)
        trial.episodes = len(own)
        last = level + 1 == len(self.levels)
        judgement, trial.reason = judge(base, own, random, self._bar, last=last)
        trial.stage = {"promising": "promising", "lost": "raced", "open": "built"}[judgement]  # type: ignore[assignment]
        if judgement != "open":
            self._session.on_event(DecisionMade(f"{trial.text}: {trial.reason}"))


def judge(
    base: Sequence[float], own: Sequence[float], random: Sequence[float], bar: Bar, *, last: bool
) -> tuple[Judgement, str]:
    """Whether a candidate should be certified, is out, or has to play on; and why, in words.

    It is out where it surely keeps too little, or where the gate would need more episodes than there are.
    """
    if bar.deterministic:
        gap = base[0] - sum(random) / len(random)
        kept = (own[0] - sum(random) / len(random)) / gap
        return ("promising" if kept >= bar.keep else "lost"), f"keeps {kept:.4f} in the one episode there is"
    found = retention(base, own, random, CONFIDENCE)
    if isinstance(found, Missing):
        return ("lost" if last else "open"), found.reason
    told = f"keeps {found.estimate:.3f} [{found.lower:.2f}, {found.upper:.2f}] in {len(own)} episodes"
    if found.upper < bar.keep:
        return "lost", told
    plan = plan_episodes(base, own, random, keep=bar.keep, alpha=error_share(bar.confidence, 1), limit=bar.limit)
    if plan.episodes is not None and (last or _sure(found, bar, len(own))):
        return "promising", told
    return ("lost" if last else "open"), f"{told}; {plan.reason}"


def _sure(found: Interval, bar: Bar, episodes: int) -> bool:
    return found.lower >= bar.keep and episodes >= sum(LEVELS[:2])
