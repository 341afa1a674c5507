"""Runs the cells of a study to the end: what the store has is kept, what it lacks is done, by any executor."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from policypress.engine import prepared_agent
from policypress.engine.artifact_files import BuiltArtifact, load, publish, remove_partial
from policypress.engine.cell import Cell
from policypress.engine.cell_worker import EPISODES_PER_TASK, CellWorker
from policypress.engine.executors.executor import Executor
from policypress.engine.notes import Note
from policypress.engine.prepared_agent import PreparedAgent
from policypress.engine.progress import LearningProgress, Plan, Progress, Silent
from policypress.engine.provenance import provenance
from policypress.engine.store.store import Store
from policypress.engine.tasks import Failure, Outcome, Task
from policypress.errors import ExecutionError
from policypress.records import EpisodeRecord

NEEDED_FAILED = "NeededCellFailed"
"""Kind of the failure of a cell whose agent's cell failed."""


@dataclass(frozen=True)
class StudyOutcome:
    """Where the cells that were asked for stand now: every one of them is in exactly one tuple.

    ``left`` are neither done nor failed, because the run was ``interrupted``.
    """

    done: tuple[Cell, ...]
    failed: tuple[tuple[Cell, Failure], ...]
    left: tuple[Cell, ...]
    interrupted: bool = False


def run_study(
    cells: Iterable[Cell],
    worker: CellWorker,
    store: Store,
    executor: Executor,
    progress: Progress | None = None,
    *,
    retry_failed: bool = False,
    needs: Mapping[str, str] | None = None,
    results_only: bool = False,
    files_wanted: Container[str] = frozenset(),
) -> StudyOutcome:
    """Do what the store does not have yet of ``cells``; equal cells are one.

    A cell is built, then its episodes are played in parts of :data:`EPISODES_PER_TASK`; each result is in
    the store before the next is looked at. So a run that ends at any moment, in any way, is continued by
    the same call, with the same rows in the end. An artifact that is missing on disk, or is not what was
    written, is built again. A cell that fails is recorded with its error and stops no other.

    Args:
        cells: what is asked for; others in the store are left alone.
        worker: makes the tasks.
        store: open for this driver.
        executor: does the tasks; stays open.
        progress: is told what happens.
        retry_failed: also do the cells that failed before.
        needs: key of a cell → key of another of ``cells`` that has to be done before it starts. Where that one
            fails, so does the cell, with that reason.
        results_only: a cell that is done stays done when its files are gone; they are made again only where a cell
            that is left needs them. (A store may then travel without them.)
        files_wanted: keys of cells whose files are made again all the same, for what comes after.

    Raises:
        OutputError: the disk is full, or a file cannot be written. Run again after making room.
        StoreError: the store cannot be used any more.
    """
    wanted = list({cell.key: cell for cell in cells}.values())
    run = _Run(wanted, worker, store, executor, progress or Silent(), needs or {}, results_only, files_wanted)
    interrupted = False
    executor.listener = run.told
    try:
        run.prepare(retry_failed)
        run.fill()
        for outcome in executor.outcomes():
            run.take(outcome)
            run.fill()
    except KeyboardInterrupt:
        interrupted = True
        executor.cancel()
        store.release_running()
    except BaseException:
        executor.cancel()
        raise
    finally:
        executor.listener = None
    return run.outcome(interrupted)


@dataclass
class _Started:
    """A cell that is being worked on: its artifact, and how many of its episode tasks are out."""

    cell: Cell
    built: BuiltArtifact | None = None
    open_tasks: int = 0


@dataclass(frozen=True)
class _Ready:
    """A task that may be submitted; ``seeds`` is None for a build."""

    cell: Cell
    seeds: tuple[int, ...] | None


class _Run:
    """The state of one call of :func:`run_study`.

    Cells in hand come first and new ones start only when nothing else is ready, so that the number of
    artifacts in memory does not grow with the study.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        worker: CellWorker,
        store: Store,
        executor: Executor,
        progress: Progress,
        needs: Mapping[str, str],
        results_only: bool,
        files_wanted: Container[str],
    ) -> None:
        self._cells = cells
        self._worker = worker
        self._store = store
        self._executor = executor
        self._progress = progress
        self._provenance = provenance()
        self._waiting: deque[Cell] = deque()
        self._ready: deque[_Ready] = deque()
        self._submitted: dict[str, _Ready] = {}
        self._started: dict[str, _Started] = {}
        self._failed: dict[str, Failure] = {}
        self._needs = needs
        self._results_only = results_only
        self._files_wanted = files_wanted
        self._waiting_for: dict[str, list[Cell]] = {}
        for cell in cells:
            if cell.key in needs:
                self._waiting_for.setdefault(needs[cell.key], []).append(cell)
        self._held: dict[str, list[Cell]] = {}

    def prepare(self, retry_failed: bool) -> None:
        """Compare what is asked for with the store."""
        remove_partial(self._store.folder)
        prepared_agent.remove_partial(self._store.folder)
        self._store.release_running()
        self._store.plan(self._cells)
        done = episodes_done = 0
        for cell in self._cells:
            row = self._store.cell(cell.key)
            episodes_done += len(self._store.seeds(cell.key))
            if row is not None and row.failure is not None and not retry_failed:
                self._failed[cell.key] = row.failure
            elif row is not None and row.status == "done" and self._intact(cell):
                done += 1
            else:
                if row is not None and row.status != "pending":
                    self._store.reopen(cell.key)
                self._hold_or_queue(cell)
        self._progress.planned(
            Plan(
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
        if cell.key in self._files_wanted:
            return True
        return any(not self._is_done(w.key) or not self._intact(w) for w in self._waiting_for.get(cell.key, ()))

    def _is_done(self, key: str) -> bool:
        row = self._store.cell(key)
        return row is not None and row.status == "done"

    def _intact(self, cell: Cell) -> bool:
        if self._results_only and not self._is_needed(cell):
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
        self._store.start(cell.key, self._provenance)
        self._started[cell.key] = _Started(cell, self._stored_artifact(cell))
        self._progress.started(cell)
        if self._started[cell.key].built is None:
            self._ready.append(_Ready(cell, None))
        else:
            self._queue_episodes(cell)

    def _queue_episodes(self, cell: Cell) -> None:
        """Make ready what is missing; the parts are cut from the whole list, whatever was played before."""
        seeds, played = cell.seeds(), self._store.seeds(cell.key)
        parts = [seeds[i : i + EPISODES_PER_TASK] for i in range(0, len(seeds), EPISODES_PER_TASK)]
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
            self._queue_episodes(cell)
            return
        self._submitted[task.key] = ready
        self._executor.submit(task)

    def _task(self, ready: _Ready) -> Task | None:
        if ready.seeds is None:
            task = self._worker.build(ready.cell)
        else:
            task = self._worker.episodes(ready.cell, self._started[ready.cell.key].built, ready.seeds)
        if task is not None and task.key in self._submitted:
            raise ExecutionError("Two tasks of a study have one key.", got=task.key, expected="a key for each task")
        return task

    def told(self, note: Note) -> None:
        """Pass on how far a cell's task is with what it learns."""
        ready = self._submitted.get(note.key)
        if ready is not None and isinstance(self._progress, LearningProgress):
            self._progress.learning(ready.cell, note.learning)

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
        self._progress.advanced(cell, 0)
        self._queue_episodes(cell)

    def _take_episodes(self, cell: Cell, seeds: tuple[int, ...], value: object) -> None:
        episodes = _checked(seeds, value)
        # Of a cell that has failed meanwhile the episodes are kept: a retry will not play them again.
        started = self._started.get(cell.key)
        last = started is not None and started.open_tasks == 1
        self._store.record_episodes(cell.key, episodes, done=last)
        self._progress.advanced(cell, len(episodes))
        if started is not None:
            started.open_tasks -= 1
        if last:
            self._finished(cell)

    def _finished(self, cell: Cell) -> None:
        del self._started[cell.key]
        # What an agent's cells need is at hand now, and its results are worth more than another agent's beginning.
        self._waiting.extendleft(reversed(self._held.pop(cell.key, [])))
        self._progress.finished(cell)

    def _fail(self, cell: Cell, failure: Failure) -> None:
        """Record the first failure of a cell, and drop what of it is not under way."""
        if cell.key in self._failed:
            return
        self._store.fail(cell.key, failure)
        self._failed[cell.key] = failure
        self._started.pop(cell.key, None)
        self._ready = deque(ready for ready in self._ready if ready.cell.key != cell.key)
        self._progress.failed(cell, failure)
        for held in self._held.pop(cell.key, []):
            self._fail(held, for_want_of(failure))

    def outcome(self, interrupted: bool) -> StudyOutcome:
        """Sort the cells by what the store says of them."""
        done, failed, left = [], [], []
        for cell in self._cells:
            row = self._store.cell(cell.key)
            if row is not None and row.failure is not None:
                failed.append((cell, self._failed.get(cell.key, row.failure)))
            elif row is not None and row.status == "done":
                done.append(cell)
            else:
                left.append(cell)
        return StudyOutcome(tuple(done), tuple(failed), tuple(left), interrupted)


def for_want_of(failure: Failure) -> Failure:
    """Failure of a cell that starts from one which has failed."""
    return Failure(NEEDED_FAILED, f"What it starts from failed: {failure.message}")


def _checked(seeds: tuple[int, ...], value: object) -> list[EpisodeRecord]:
    """``value`` as the episodes of ``seeds``.

    Raises:
        ExecutionError: it is something else, or a return is not finite.
    """
    episodes = [item for item in value if isinstance(item, EpisodeRecord)] if isinstance(value, tuple | list) else []
    got = tuple(episode.seed for episode in episodes)
    if got != seeds:
        raise ExecutionError(
            "An evaluation gave other episodes than it was asked for.",
            got=f"{type(value).__name__} with episodes of seeds {got}",
            expected=f"episodes of seeds {seeds}",
        )
    broken = [e for e in episodes if not (math.isfinite(e.episode_return) and math.isfinite(e.cpu_s))]
    if broken:
        raise ExecutionError(
            "An episode's numbers are not finite.",
            got=repr(broken[0]),
            hint="The environment's rewards, or the policy's actions, are broken there.",
        )
    return episodes
