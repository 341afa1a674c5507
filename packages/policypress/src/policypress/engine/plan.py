"""What is asked for: cells, and which of them wait for which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from policypress.engine.cells.cell import Cell


@dataclass(frozen=True)
class Plan:
    """Cells that are to be done.

    Args:
        cells: every cell once; an agent's own cell comes before its others.
        needs: key of a cell → key of the cell that has to be done first: the agent's own, and for costs the one that
            makes the artifact.
    """

    cells: tuple[Cell, ...]
    needs: Mapping[str, str] = field(default_factory=dict)

    @property
    def result_cells(self) -> tuple[Cell, ...]:
        """All cells but those of costs."""
        return tuple(cell for cell in self.cells if cell.kind != "cost")

    @property
    def cost_cells(self) -> tuple[Cell, ...]:
        """The cells of costs."""
        return tuple(cell for cell in self.cells if cell.kind == "cost")

    def of_agent(self, identity: str) -> tuple[Cell, ...]:
        """An agent's cells."""
        return tuple(cell for cell in self.cells if cell.agent_sha256 == identity)

    def episodes(self) -> int:
        """Episodes of all cells."""
        return sum(cell.protocol.episodes for cell in self.cells)
