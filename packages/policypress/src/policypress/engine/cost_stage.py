"""The last stage of a run: its cost cells, agent by agent, each agent's artifacts together and alone on a machine.

What an agent's artifacts cost is measured in one run, taking turns, so that ratios hold. Hence an agent is measured
when its other cells are done or have failed, and where one of its cost cells is left, all are measured again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

from policypress.engine.artifact_files import load
from policypress.engine.cells.cell import Cell
from policypress.engine.checked_results import checked_costs
from policypress.engine.events import CostsMeasured, EventHandler
from policypress.engine.executors.executor import Executor
from policypress.engine.notes import MeasuringSteps, Note
from policypress.engine.outcome import NEEDED_FAILED, RunOutcome, for_want_of, read_outcome
from policypress.engine.plan import Plan
from policypress.engine.provenance import provenance
from policypress.engine.run_options import RunOptions
from policypress.engine.store.reader import CellRow, StoreReader
from policypress.engine.store.store import Store
from policypress.engine.tasks.costs import OTHERS, CostRequest, CostSubject
from policypress.engine.tasks.factory import CellTasks
from policypress.engine.tasks.task import Failure, Outcome, Task
from policypress.measurement.costs.background_load import QUIET_CORES
from policypress_runtime.errors import ExecutionError, PolicypressError
from policypress_runtime.runtimes.protocol import NATIVE, ONNXRUNTIME


def left_groups(plan: Plan, store: StoreReader, *, retry_failed: bool = False) -> dict[str, tuple[Cell, ...]]:
    """Agent's identity → all its cost cells, of every agent that has one left.

    A cell that failed is left only where failed ones are tried again, or where it failed for want of what is there now.
    One that is done is left where its artifact has changed since, or others of its agent are of another run.
    """
    stored = {row.key: row for row in store.cells()}
    measured = store.measured_runs()

    def is_left(cell: Cell) -> bool:
        row, maker = stored.get(cell.key), stored.get(plan.needs[cell.key])
        if row is not None and row.status == "done":
            record = store.artifact(plan.needs[cell.key])
            return record is not None and measured.get(cell.key, ("", ""))[0] != record.sha256
        if row is None or row.status != "failed":
            return True
        mended = row.failure is not None and row.failure.kind == NEEDED_FAILED
        return retry_failed or (mended and maker is not None and maker.status == "done")

    groups: dict[str, list[Cell]] = {}
    for cell in plan.cost_cells:
        groups.setdefault(cell.agent_sha256 or "", []).append(cell)
    runs = {identity: {measured[c.key][1] for c in cells if c.key in measured} for identity, cells in groups.items()}
    return {
        identity: tuple(cells)
        for identity, cells in groups.items()
        if len(runs[identity]) > 1 or any(map(is_left, cells))
    }


@dataclass(frozen=True)
class _Group:
    """An agent's cost cells, each with what made its artifact."""

    identity: str
    cells: tuple[tuple[Cell, CellRow], ...]


class CostStage:
    """All cells of costs; see :func:`~.scheduler.run_cells`.

    At most one task is under way on each machine; a group that is not finished is measured anew by the next run.
    """

    def __init__(
        self,
        plan: Plan,
        tasks: CellTasks,
        store: Store,
        executor: Executor,
        on_event: EventHandler,
        options: RunOptions,
    ) -> None:
        self._plan = plan
        self._tasks = tasks
        self._store = store
        self._executor = executor
        self._on_event = on_event
        self._retry_failed = options.retry_failed
        self._request = options.costs or CostRequest()
        self._provenance = provenance()
        self._waiting: deque[_Group] = deque()
        self._submitted: dict[str, _Group] = {}
        self._groups = self._finished = self._not_ready = 0
        self._busy_cores: list[float] = []

    def prepare(self) -> None:
        """Find out what may be measured now."""
        self._store.plan(self._plan.cost_cells)
        stored = {row.key: row for row in self._store.cells()}
        for identity, cells in left_groups(self._plan, self._store, retry_failed=self._retry_failed).items():
            others = [stored.get(cell.key) for cell in self._plan.of_agent(identity) if cell.kind != "cost"]
            makers = [stored.get(self._plan.needs[cell.key]) for cell in cells]
            if any(row is None or row.status not in ("done", "failed") for row in (*others, *makers)):
                self._not_ready += 1
                continue
            pairs = [(cell, stored[self._plan.needs[cell.key]]) for cell in cells]
            for cell, maker in pairs:
                if maker.failure is not None:
                    self._store.fail(cell.key, for_want_of(maker.failure))
            able = tuple((cell, maker) for cell, maker in pairs if maker.failure is None)
            if able:
                self._waiting.append(_Group(identity, able))
        self._groups = len(self._waiting)

    def fill(self) -> None:
        """One task on each machine."""
        while self._waiting and self._executor.pending < self._executor.machines:
            group = self._waiting.popleft()
            try:
                task = self._task(group)
            except PolicypressError as error:
                self._fail(group, Failure.of(error))
                continue
            if task is None:
                self._not_ready += 1
                self._groups -= 1
                continue
            for cell, _ in group.cells:
                self._store.start(cell.key, self._provenance)
            self._submitted[task.key] = group
            self._executor.submit(task)

    def _task(self, group: _Group) -> Task | None:
        """What measures the group; None where files are missing."""
        subjects: dict[Cell, CostSubject] = {}
        for cell, maker in group.cells:
            record = self._store.artifact(maker.key)
            built = record and load(self._store.folder, record, self._store.artifact_files(maker.key))
            if not built:
                return None
            subjects[cell] = CostSubject(
                key=cell.key,
                model=built.files[built.record.path],
                runtime=NATIVE if cell.protocol.runtime == NATIVE else ONNXRUNTIME,
                lengths=tuple(episode.length for episode in self._store.episodes(maker.key)),
            )
        return self._tasks.costs(subjects, self._request, datetime.now(UTC).isoformat(timespec="milliseconds"))

    def told(self, note: Note) -> None:
        """Pass on how far the measuring of a group is, as steps of all groups."""
        if note.key in self._submitted and isinstance(note.progress, MeasuringSteps):
            done, total = note.progress.done, note.progress.total
            self._on_event(CostsMeasured(self._finished * total + done, self._groups * total))

    def take(self, outcome: Outcome) -> None:
        """Bring what was measured into the store, all of an agent at once."""
        group = self._submitted.pop(outcome.key)
        failure = outcome.failure
        if failure is None:
            try:
                costs = checked_costs(outcome.value, {cell.key for cell, _ in group.cells})
                self._store.record_costs(costs.measured, costs.failed)
                metadata = [row.protocol[OTHERS] for rows in costs.measured.values() for row in rows]
                self._busy_cores.append(max(metadata, default=0.0))
            except ExecutionError as error:
                failure = Failure.of(error)
        if failure is not None:
            self._fail(group, failure)
            return
        self._step()

    def _fail(self, group: _Group, failure: Failure) -> None:
        for cell, _ in group.cells:
            self._store.fail(cell.key, failure)
        self._step()

    def _step(self) -> None:
        self._finished += 1
        self._on_event(CostsMeasured(self._finished, self._groups))

    def outcome(self, interrupted: bool) -> RunOutcome:
        """Where the cost cells stand."""
        return read_outcome(self._plan.cost_cells, self._store, {}, interrupted, self._notices())

    def _notices(self) -> tuple[str, ...]:
        """Notices for the user."""
        told = []
        if self._not_ready:
            told.append(
                f"The costs of {self._not_ready} agents were not measured: their other cells, or files, are missing."
            )
        busiest = max(self._busy_cores, default=0.0)
        if busiest > QUIET_CORES:
            told.append(
                f"Other programs kept up to {busiest:.1f} cores busy while costs were measured, as they say themselves."
            )
        return tuple(told)
