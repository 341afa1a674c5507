"""How the cells that were asked for have ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from policypress.engine.cells.cell import Cell
from policypress.engine.store.reader import StoreReader
from policypress.engine.tasks.task import Failure

NEEDED_FAILED = "NeededCellFailed"
"""Kind of the failure of a cell that starts from one which has failed."""


@dataclass(frozen=True)
class RunOutcome:
    """Where the cells that were asked for stand now: every one of them is in exactly one tuple.

    ``left`` are neither done nor failed, because the run was ``interrupted``. ``notices`` are what the user should be
    told.
    """

    done: tuple[Cell, ...]
    failed: tuple[tuple[Cell, Failure], ...]
    left: tuple[Cell, ...]
    interrupted: bool = False
    notices: tuple[str, ...] = ()

    def followed_by(self, other: RunOutcome) -> RunOutcome:
        """Both together."""
        return RunOutcome(
            (*self.done, *other.done),
            (*self.failed, *other.failed),
            (*self.left, *other.left),
            self.interrupted or other.interrupted,
            (*self.notices, *other.notices),
        )


def read_outcome(
    cells: Iterable[Cell],
    store: StoreReader,
    fresh: Mapping[str, Failure],
    interrupted: bool,
    notices: tuple[str, ...] = (),
) -> RunOutcome:
    """Sort ``cells`` by what the store says of them; ``fresh`` are this run's failures, with their exceptions."""
    done, failed, left = [], [], []
    for cell in cells:
        row = store.cell(cell.key)
        if row is not None and row.failure is not None:
            failed.append((cell, fresh.get(cell.key, row.failure)))
        elif row is not None and row.status == "done":
            done.append(cell)
        else:
            left.append(cell)
    return RunOutcome(tuple(done), tuple(failed), tuple(left), interrupted, notices)


def for_want_of(failure: Failure) -> Failure:
    """Failure of a cell that starts from one which has failed."""
    return Failure(NEEDED_FAILED, f"A cell that it depends on failed: {failure.message}")
