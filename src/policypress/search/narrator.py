"""What a search tells while it runs, beyond what its studies do."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from policypress.compression.learning import StepProgress
from policypress.engine.cell import Cell
from policypress.engine.progress import LearningProgress, Plan, Progress, Silent
from policypress.engine.tasks import Failure


@runtime_checkable
class Narrator(Progress, Protocol):
    """Listens to a search and to the studies beneath it."""

    def phase(self, name: str) -> None:
        """What follows is ``name``: a few words for the progress bar."""
        ...

    def tell(self, text: str) -> None:
        """A decision, in a sentence that stays on the screen."""
        ...


class SilentNarrator(Silent):
    """Nobody listens."""

    def phase(self, name: str) -> None:
        """Say nothing."""

    def tell(self, text: str) -> None:
        """Say nothing."""


class Relay(SilentNarrator):
    """Passes on to a listener that knows studies only what they tell; of the search it hears nothing."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def planned(self, plan: Plan) -> None:
        """Pass it on."""
        self._progress.planned(plan)

    def started(self, cell: Cell) -> None:
        """Pass it on."""
        self._progress.started(cell)

    def advanced(self, cell: Cell, episodes: int) -> None:
        """Pass it on."""
        self._progress.advanced(cell, episodes)

    def finished(self, cell: Cell) -> None:
        """Pass it on."""
        self._progress.finished(cell)

    def learning(self, cell: Cell, learning: StepProgress) -> None:
        """Pass it on to whom it interests."""
        if isinstance(self._progress, LearningProgress):
            self._progress.learning(cell, learning)

    def failed(self, cell: Cell, failure: Failure) -> None:
        """Pass it on."""
        self._progress.failed(cell, failure)

    def measuring(self, done: int, total: int) -> None:
        """Pass it on."""
        self._progress.measuring(done, total)


def narrator_of(progress: Progress | None) -> Narrator:
    """Whatever listens, as a listener to searches."""
    if progress is None:
        return SilentNarrator()
    return progress if isinstance(progress, Narrator) else Relay(progress)
