"""Does the cells of a plan: what the store has is kept, what it lacks is done, by any executor.

First come the results: agents, artifacts, episodes. Then, as a barrier stage of the same run, the costs, alone on a
machine.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from policypress.engine.cell_stage import CellStage
from policypress.engine.cost_stage import CostStage
from policypress.engine.events import EventHandler, ignore
from policypress.engine.executors.executor import Executor
from policypress.engine.notes import Note
from policypress.engine.outcome import RunOutcome
from policypress.engine.plan import Plan
from policypress.engine.run_options import RunOptions
from policypress.engine.store.store import Store
from policypress.engine.tasks.factory import CellTasks
from policypress.engine.tasks.task import Outcome


@runtime_checkable
class Stage(Protocol):
    """What :func:`run_cells` needs of a stage."""

    def prepare(self) -> None:
        """Compare what is asked for with the store."""
        ...

    def fill(self) -> None:
        """Keep the executor supplied."""
        ...

    def take(self, outcome: Outcome) -> None:
        """Bring the result of a task into the store."""
        ...

    def told(self, note: Note) -> None:
        """Hear what a task tells before it is done."""
        ...

    def outcome(self, interrupted: bool) -> RunOutcome:
        """Where its cells stand."""
        ...


def run_cells(
    plan: Plan,
    tasks: CellTasks,
    store: Store,
    executor: Executor,
    on_event: EventHandler = ignore,
    options: RunOptions | None = None,
) -> RunOutcome:
    """Do what the store does not have yet of ``plan``.

    A cell is built, or takes over the artifact of a cell with its build key; then its episodes are played in parts;
    each result is in the store before the next is looked at. So a run that ends at any moment, in any way, is continued
    by the same call, with the same rows in the end. An artifact that is missing on disk, or is not what was written, is
    built again. A cell that fails is recorded with its error and stops no other. A cell that waits for one which fails,
    fails with that reason. Costs are measured last, agent by agent, when nothing else of the run is at work.

    Args:
        plan: what is asked for; other cells of the store are left alone.
        tasks: makes the tasks.
        store: open for this driver.
        executor: does the tasks; stays open.
        on_event: called with every event.
        options: see :class:`RunOptions`.

    Raises:
        OutputError: the disk is full, or a file cannot be written. Run again after making room.
        StoreError: the store cannot be used any more.
    """
    options = options or RunOptions()
    results = CellStage(plan, tasks, store, executor, on_event, options)
    outcome = _run(results, store, executor)
    if options.costs is None or outcome.interrupted or not plan.cost_cells:
        return outcome
    costs = CostStage(plan, tasks, store, executor, on_event, options)
    return outcome.followed_by(_run(costs, store, executor))


def _run(stage: Stage, store: Store, executor: Executor) -> RunOutcome:
    interrupted = False
    executor.listener = stage.told
    try:
        stage.prepare()
        stage.fill()
        for outcome in executor.outcomes():
            stage.take(outcome)
            stage.fill()
    except KeyboardInterrupt:
        interrupted = True
        executor.cancel()
        store.release_running()
    except BaseException:
        executor.cancel()
        raise
    finally:
        executor.listener = None
    return stage.outcome(interrupted)
