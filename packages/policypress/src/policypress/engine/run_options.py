"""How a plan is run."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from policypress.engine.tasks.costs import CostRequest
from policypress.engine.tasks.factory import EPISODES_PER_TASK


@dataclass(frozen=True)
class RunOptions:
    """How a plan is run.

    Args:
        retry_failed: also do the cells that failed before.
        results_only: a cell that is done stays done when its files are gone; they are made again only where a cell
            that is left needs them. (A store may then travel without them.)
        files_wanted: keys of cells whose files are made again all the same, for what comes after.
        skipped: keys of cells that are left as they are.
        costs: how costs are measured; None leaves the plan's cost cells alone.
        episodes_per_task: how many episodes of a cell go together; the same for all cells that are compared.
    """

    retry_failed: bool = False
    results_only: bool = False
    files_wanted: Container[str] = frozenset()
    skipped: Container[str] = frozenset()
    costs: CostRequest | None = None
    episodes_per_task: int = EPISODES_PER_TASK
