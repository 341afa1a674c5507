"""The first stage of a run: agents, artifacts and episodes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from policypress.compression.learning import StepProgress
from policypress.engine.artifact_files import BuiltArtifact, load, publish, remove_partial
from policypress.engine.cells.cell import Cell
from policypress.engine.checked_results import checked_episodes
from policypress.engine.events import (
    CellBuilt,
    CellFailed,
    CellFinished,
    CellLearning,
    CellStarted,
    EpisodesPlayed,
    EventHandler,
    Planned,
)
from policypress.engine.executors.executor import Executor
from policypress.engine.notes import Note
from policypress.engine.outcome import RunOutcome, for_want_of, read_outcome
from policypress.engine.plan import Plan
from policypress.engine.provenance import provenance
from policypress.engine.run_options import RunOptions
from policypress.engine.shared_builds import SharedBuilds
from policypress.engine.store.store import Store
from policypress.engine.tasks import prepared_agent
from policypress.engine.tasks.factory import CellTasks
from policypress.engine.tasks.prepared_agent import PreparedAgent
from policypress.engine.tasks.task import Failure, Outcome, Task
from policypress_runtime.errors import ExecutionError


@dataclass
class _Started:
    """A cell that is being worked on: its artifact, and how many of its episode tasks are out.

    ``lent`` is the artifact of another cell, while it is proved for this one.
    """

    cell: Cell
    built: BuiltArtifact | None = None
    lent: BuiltArtifact | None = None
    open_tasks: int = 0


@dataclass(frozen=True)
class _Ready:
    """A task that may be submitted; ``seeds`` is None for a build."""

    cell: Cell
    seeds: tuple[int, ...] | None


class CellStage:
    """Agents, artifacts and episodes: all cells but those of costs; see :func:`~.scheduler.run_cells`.

    Cells in hand come first and new ones start only when nothing else is ready, so that the number of
    artifacts in memory does not grow with the study.
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
        unique = {cell.key: cell for cell in plan.result_cells if cell.key not in options.skipped}
        self._cells = tuple(unique.values())
        self._needs = plan.needs
        self._tasks = tasks
        self._store = store
        self._executor = executor
        self._on_event = on_event
        self._options = options
        self._provenance = provenance()
        self._waiting: deque[Cell] = deque()
        self._ready: deque[_Ready] = deque()
        self._submitted: dict[str, _Ready] = {}
        self._started: dict[str, _Started] = {}
        self._failed: dict[str, Failure] = {}
        self._waiting_for: dict[str, list[Cell]] = {}
        for cell in self._cells:
            if cell.key in self._needs:
                self._waiting_for.setdefault(self._needs[cell.key], []).append(cell)
        self._held: dict[str, list[Cell]] = {}
        self._builds = SharedBuilds(tasks, store)

    def prepare(self) -> None:
        """Compare what is asked for with the store."""
        remove_partial(self._store.folder)
        prepared_agent.remove_partial(self._store.folder)
        self._store.release_running()
        self._store.plan(self._cells)
        done = episodes_done = 0
        for cell in self._cells:
            row = self._store.cell(cell.key)
            episodes_done += len(self._store.seeds(cell.key))
            if row is not None and row.failure is not None and not self._options.retry_failed:
                self._failed[cell.key] = row.failure
            elif row is not None and row.status == "done" and self._intact(cell):
                done += 1
            else:
                if row is not None and row.status != "pending":
                    self._store.reopen(cell.key)
                self._hold_or_queue(cell)
        self._on_event(
            Planned(
                cells=len(self._cells),
                done=done,
                failed=len(self._failed),
                episodes=sum(cell.protocol.episodes for cell in self._cells),
                episodes_done=episodes_done,
            )
        )

    def _hold_or_queue(self, cell: Cell) -> None:
        """Hold back a cell that waits for one which is still to be done; refuse it where that one has failed."""
        needed = self._needs.get(cell.key)
        if needed is None or self._is_done(needed):
            self._waiting.append(cell)
        elif needed in self._failed:
            self._fail(cell, for_want_of(self._failed[needed]))
        else:
            self._held.setdefault(needed, []).append(cell)

    def _is_needed(self, cell: Cell) -> bool:
        """Whether somebody asks for the files of ``cell``, or a cell that is left waits for what it made."""
        if cell.key in self._options.files_wanted:
            return True
        return any(not self._is_done(w.key) or not self._intact(w) for w in self._waiting_for.get(cell.key, ()))

    def _is_done(self, key: str) -> bool:
        row = self._store.cell(key)
        return row is not None and row.status == "done"

    def _intact(self, cell: Cell) -> bool:
        if self._options.results_only and not self._is_needed(cell):
            return True
        if cell.kind == "agent":
            digests = self._store.prepared_files(cell.key)
            return digests is not None and prepared_agent.intact(self._store.folder, digests)
        return self._store.artifact(cell.key) is None or self._stored_artifact(cell) is not None

    def _stored_artifact(self, cell: Cell) -> BuiltArtifact | None:
        record = self._store.artifact(cell.key)
        if record is None:
            return None
        return load(self._store.folder, record, self._store.artifact_files(cell.key))

    def fill(self) -> None:
        """Keep the executor supplied, one task ahead of each of its workers."""
        while self._executor.pending < 2 * self._executor.capacity:
            if self._ready:
                self._submit(self._ready.popleft())
            elif self._waiting:
                self._begin(self._waiting.popleft())
            else:
                return

    def _begin(self, cell: Cell) -> None:
        own = self._stored_artifact(cell)
        lent = None if own is not None else self._builds.lent(cell)
        if own is None and lent is None and not self._builds.claim(cell):
            # Another cell is building what this one needs; it comes back when that is done.
            return
        self._store.start(cell.key, self._provenance)
        self._started[cell.key] = _Started(cell, own, lent)
        self._on_event(CellStarted(cell))
        if own is None:
            self._ready.append(_Ready(cell, None))
        else:
            self._queue_episodes(cell)

    def _queue_episodes(self, cell: Cell) -> None:
        """Make ready what is missing; the parts are cut from the whole list, whatever was played before."""
        seeds, played = cell.seeds(), self._store.seeds(cell.key)
        size = self._options.episodes_per_task
        parts = [seeds[i : i + size] for i in range(0, len(seeds), size)]
        missing = [tuple(seed for seed in part if seed not in played) for part in parts]
        ready = [_Ready(cell, part) for part in missing if part]
        self._started[cell.key].open_tasks = len(ready)
        self._ready.extend(ready)
        if not ready:
            self._store.finish(cell.key)
            self._finished(cell)

    def _submit(self, ready: _Ready) -> None:
        cell = ready.cell
        try:
            task = self._task(ready)
        except Exception as error:
            self._fail(cell, Failure.of(error))
            return
        if task is None:
            self._go_on_without_task(cell)
            return
        self._submitted[task.key] = ready
        self._executor.submit(task)

    def _go_on_without_task(self, cell: Cell) -> None:
        """Take over another cell's artifact as it stands; random actions have none."""
        lent = self._started[cell.key].lent
        if lent is None:
            self._queue_episodes(cell)
            return
        try:
            self._take_artifact(cell, lent)
        except ExecutionError as error:
            self._fail(cell, Failure.of(error))

    def _task(self, ready: _Ready) -> Task | None:
        lent = self._started[ready.cell.key].lent
        if ready.seeds is None and lent is not None:
            task = self._tasks.prove(ready.cell, lent)
        elif ready.seeds is None:
            task = self._tasks.build(ready.cell)
        else:
            task = self._tasks.episodes(ready.cell, self._started[ready.cell.key].built, ready.seeds)
        if task is not None and task.key in self._submitted:
            raise ExecutionError("Two tasks of a study have one key.", got=task.key, expected="a key for each task")
        return task

    def told(self, note: Note) -> None:
        """Pass on how far a cell's task is with what it learns."""
        ready = self._submitted.get(note.key)
        if ready is not None and isinstance(note.progress, StepProgress):
            self._on_event(CellLearning(ready.cell, note.progress))

    def take(self, outcome: Outcome) -> None:
        """Bring the result of a task into the store."""
        ready = self._submitted.pop(outcome.key)
        failure = outcome.failure
        if failure is None:
            try:
                if ready.seeds is None:
                    self._take_artifact(ready.cell, outcome.value)
                else:
                    self._take_episodes(ready.cell, ready.seeds, outcome.value)
            except ExecutionError as error:
                failure = Failure.of(error)
        if failure is not None:
            self._fail(ready.cell, failure)

    def _take_artifact(self, cell: Cell, value: object) -> None:
        if isinstance(value, PreparedAgent) and cell.agent_sha256 is not None:
            digests = prepared_agent.publish(self._store.folder, cell.agent_sha256, value)
            self._store.record_prepared(cell, value, digests)
            self._queue_episodes(cell)
            return
        if not isinstance(value, BuiltArtifact):
            raise ExecutionError("A build gave no artifact.", got=type(value).__name__, expected="BuiltArtifact")
        record, digests = publish(self._store.folder, cell.key, value)
        self._store.record_artifact(cell.key, record, digests)
        self._started[cell.key].built = value
        self._waiting.extendleft(reversed(self._builds.built(cell)))
        self._on_event(CellBuilt(cell))
        self._queue_episodes(cell)

    def _take_episodes(self, cell: Cell, seeds: tuple[int, ...], value: object) -> None:
        episodes = checked_episodes(seeds, value)
        # Of a cell that has failed meanwhile the episodes are kept: a retry will not play them again.
        started = self._started.get(cell.key)
        last = started is not None and started.open_tasks == 1
        self._store.record_episodes(cell.key, episodes, done=last)
        self._on_event(EpisodesPlayed(cell, len(episodes)))
        if started is not None:
            started.open_tasks -= 1
        if last:
            self._finished(cell)

    def _finished(self, cell: Cell) -> None:
        del self._started[cell.key]
        # What an agent's cells need is at hand now, and its results are worth more than another agent's beginning.
        self._waiting.extendleft(reversed(self._held.pop(cell.key, [])))
        self._on_event(CellFinished(cell))

    def _fail(self, cell: Cell, failure: Failure) -> None:
        """Record the first failure of a cell, and drop what of it is not under way."""
        if cell.key in self._failed:
            return
        self._store.fail(cell.key, failure)
        self._failed[cell.key] = failure
        self._started.pop(cell.key, None)
        self._waiting.extendleft(reversed(self._builds.failed(cell)))
        self._ready = deque(ready for ready in self._ready if ready.cell.key != cell.key)
        self._on_event(CellFailed(cell, failure))
        for held in self._held.pop(cell.key, []):
            self._fail(held, for_want_of(failure))

    def outcome(self, interrupted: bool) -> RunOutcome:
        """Where the cells stand."""
        return read_outcome(self._cells, self._store, self._failed, interrupted)
