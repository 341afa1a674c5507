"""How a cell becomes tasks: the one thing that a study's driver does not know itself."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from policypress.engine.artifact_files import BuiltArtifact
from policypress.engine.cell import Cell
from policypress.engine.tasks import Task

EPISODES_PER_TASK = 5
"""Fixed, so that the same episodes go together whatever the number of workers."""


@runtime_checkable
class CellWorker(Protocol):
    """Makes the tasks of cells; lives with the driver, only its tasks travel.

    Tasks are independent of one another and of the process they run in: one thread, no shared disk.
    """

    def build(self, cell: Cell) -> Task | None:
        """The task that returns the cell's :class:`BuiltArtifact`; None if nothing is to be built."""
        ...

    def episodes(self, cell: Cell, artifact: BuiltArtifact | None, seeds: tuple[int, ...]) -> Task:
        """The task that returns one :class:`~policypress.records.EpisodeRecord` per seed, in their order."""
        ...
