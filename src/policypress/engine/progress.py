"""What a study tells while it runs, to whatever draws it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from policypress.compression.learning import StepProgress
from policypress.engine.cell import Cell
from policypress.engine.tasks import Failure


@dataclass(frozen=True)
class Plan:
    """Where a study stands before it starts: numbers of cells, and of episodes over all of them.

    ``done`` and ``failed`` cells are left as they are; ``episodes_done`` are in the store already.
    """

    cells: int
    done: int
    failed: int
    episodes: int
    episodes_done: int


@runtime_checkable
class Progress(Protocol):
    """Listens to a driver; called in its process, between two results, so it must be quick."""

    def planned(self, plan: Plan) -> None:
        """Once, first."""
        ...

    def started(self, cell: Cell) -> None:
        """Work on ``cell`` has begun."""
        ...

    def advanced(self, cell: Cell, episodes: int) -> None:
        """``episodes`` more of the cell are in the store; 0 when it was its artifact."""
        ...

    def finished(self, cell: Cell) -> None:
        """The cell has all it should have."""
        ...

    def failed(self, cell: Cell, failure: Failure) -> None:
        """The cell failed; the others go on."""
        ...

    def measuring(self, done: int, total: int) -> None:
        """After the returns, costs are measured: ``done`` of ``total`` steps. Nothing else may run meanwhile."""
        ...


@runtime_checkable
class LearningProgress(Protocol):
    """A :class:`Progress` that also wants to know how far cells are whose recipes learn."""

    def learning(self, cell: Cell, learning: StepProgress) -> None:
        """About once a second; the next thing heard of the cell is that it has an artifact, or failed."""
        ...


class Silent:
    """Progress that nobody looks at."""

    def planned(self, plan: Plan) -> None:
        """Say nothing."""

    def started(self, cell: Cell) -> None:
        """Say nothing."""

    def advanced(self, cell: Cell, episodes: int) -> None:
        """Say nothing."""

    def finished(self, cell: Cell) -> None:
        """Say nothing."""

    def failed(self, cell: Cell, failure: Failure) -> None:
        """Say nothing."""

    def measuring(self, done: int, total: int) -> None:
        """Say nothing."""
