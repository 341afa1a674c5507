"""Events of a running search or study: one union of types, passed to one handler function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from policypress.compression.learning import StepProgress
from policypress.engine.cells.cell import Cell
from policypress.engine.tasks.task import Failure


@dataclass(frozen=True)
class Planned:
    """Where the cells stand before the scheduler starts: numbers of cells, and of episodes over all of them.

    ``done`` and ``failed`` cells are left as they are; ``episodes_done`` are in the store already.
    """

    cells: int
    done: int
    failed: int
    episodes: int
    episodes_done: int


@dataclass(frozen=True)
class CellStarted:
    """Work on ``cell`` has begun."""

    cell: Cell


@dataclass(frozen=True)
class CellLearning:
    """How far a cell is whose recipe learns; about once a second."""

    cell: Cell
    learning: StepProgress


@dataclass(frozen=True)
class CellBuilt:
    """The artifact of ``cell`` is in the store."""

    cell: Cell


@dataclass(frozen=True)
class EpisodesPlayed:
    """``episodes`` more of ``cell`` are in the store."""

    cell: Cell
    episodes: int


@dataclass(frozen=True)
class CellFinished:
    """``cell`` has all it should have."""

    cell: Cell


@dataclass(frozen=True)
class CellFailed:
    """``cell`` failed; the others go on."""

    cell: Cell
    failure: Failure


@dataclass(frozen=True)
class CostsMeasured:
    """``done`` of ``total`` steps of measuring costs. Nothing else may run meanwhile."""

    done: int
    total: int


@dataclass(frozen=True)
class PhaseStarted:
    """What follows is ``name``, in a few words."""

    name: str


@dataclass(frozen=True)
class DecisionMade:
    """A decision of a search, in a sentence that is worth keeping on the screen."""

    text: str


Event = (
    Planned
    | CellStarted
    | CellLearning
    | CellBuilt
    | EpisodesPlayed
    | CellFinished
    | CellFailed
    | CostsMeasured
    | PhaseStarted
    | DecisionMade
)
EventHandler = Callable[[Event], None]
"""Called in the driver's process, between two results, so it must be quick."""


def ignore(event: Event) -> None:
    """The handler of who does not listen."""
