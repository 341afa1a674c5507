"""The last part of a study: its cost cells, agent by agent, each agent's artifacts together and alone on a machine.

What an agent's artifacts cost is measured in one run, taking turns, so that ratios hold. Hence an agent is measured
when its other cells are done or have failed, and where one of its cost cells is left, all are measured again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from policypress.engine import cost_tasks, prepared_agent
from policypress.engine.artifact_files import load
from policypress.engine.cell import Cell
from policypress.engine.cost_tasks import OTHERS, CostPayload, CostSubject, MeasuredCosts
from policypress.engine.executors.executor import Executor
from policypress.engine.prepared_agent import CALIBRATION_FILE, place_of, unpack
from policypress.engine.progress import Progress
from policypress.engine.provenance import provenance
from policypress.engine.scheduler import NEEDED_FAILED, StudyOutcome, for_want_of
from policypress.engine.store.reader import CellRow, StoreReader
from policypress.engine.store.store import Store
from policypress.engine.tasks import Failure, Outcome, Task
from policypress.errors import ExecutionError, PolicypressError
from policypress.measurement.background_load import QUIET_CORES
from policypress.measurement.costs import CostProtocol
from policypress.runtime.protocol import NATIVE, ONNXRUNTIME
from policypress.study.plan import StudyPlan
from policypress.study.spec import CostMeasurements


def left_groups(plan: StudyPlan, store: StoreReader, *, retry_failed: bool = False) -> dict[str, tuple[Cell, ...]]:
    """Agent's identity → all its cost cells, of every agent that has one left.

    A cell that failed is left only where failed ones are tried again, or where it failed for want of what is there now.
    """
    stored = {row.key: row for row in store.cells()}

    def is_left(cell: Cell) -> bool:
        row = stored.get(cell.key)
        if row is None or row.status != "failed":
            return row is None or row.status != "done"
        maker = stored.get(plan.needs[cell.key])
        mended = row.failure is not None and row.failure.kind == NEEDED_FAILED and maker is not None
        return retry_failed or (mended and maker is not None and maker.status == "done")

    groups: dict[str, list[Cell]] = {}
    for cell in plan.cost_cells:
        groups.setdefault(cell.agent_sha256 or "", []).append(cell)
    return {identity: tuple(cells) for identity, cells in groups.items() if any(map(is_left, cells))}


def files_wanted(plan: StudyPlan, store: StoreReader, *, retry_failed: bool) -> tuple[frozenset[str], tuple[str, ...]]:
    """Cells whose files the cost cells that are left need, and agents that would have to be trained again for it.

    Costs are not worth a training: agents that were trained, whose files are gone, and that are not kept anywhere, are
    not measured.

    Returns:
        Keys of cells, and identities of agents.
    """
    wanted, gone = set[str](), list[str]()
    for identity, cells in left_groups(plan, store, retry_failed=retry_failed).items():
        agent = plan.agents[identity]
        makers = {plan.needs[cell.key] for cell in cells}
        own = {plan.needs[maker] for maker in makers}
        files = {path: digest for key in own for path, digest in (store.prepared_files(key) or {}).items()}
        if agent.training is not None and not agent.kept and not prepared_agent.intact(store.folder, files):
            gone.append(identity)
        else:
            wanted |= makers | own
    return frozenset(wanted), tuple(gone)


def run_costs(
    plan: StudyPlan,
    how: CostMeasurements,
    seed: int,
    store: Store,
    executor: Executor,
    progress: Progress,
    *,
    retry_failed: bool = False,
) -> tuple[StudyOutcome, tuple[str, ...]]:
    """Measure what is left. Interrupted or killed, the same call continues with the first agent that is not finished.

    Args:
        plan: of the study.
        how: much is measured.
        seed: of the observations acted on.
        store: open for this driver.
        executor: does the tasks, at most one on each machine; nothing else may run on it.
        progress: is told after each agent.
        retry_failed: also measure what failed before.

    Returns:
        How the cost cells ended, and what the user should be told.

    Raises:
        OutputError: the disk is full.
        StoreError: the store cannot be used any more.
    """
    stage = _Stage(plan, how, seed, store, executor, progress)
    interrupted = False
    try:
        stage.prepare(retry_failed)
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
    return stage.outcome(interrupted), stage.notices()


@dataclass(frozen=True)
class _Group:
    """An agent's cost cells, each with what made its artifact."""

    identity: str
    cells: tuple[tuple[Cell, CellRow], ...]


class _Stage:
    """The state of one call of :func:`run_costs`."""

    def __init__(
        self,
        plan: StudyPlan,
        how: CostMeasurements,
        seed: int,
        store: Store,
        executor: Executor,
        progress: Progress,
    ) -> None:
        self._plan = plan
        self._how = how
        self._seed = seed
        self._store = store
        self._executor = executor
        self._progress = progress
        self._provenance = provenance()
        self._waiting: deque[_Group] = deque()
        self._submitted: dict[str, _Group] = {}
        self._groups = self._finished = self._not_ready = 0
        self._busy_cores: list[float] = []

    def prepare(self, retry_failed: bool) -> None:
        """Find out what may be measured now."""
        self._store.plan(self._plan.cost_cells)
        stored = {row.key: row for row in self._store.cells()}
        for identity, cells in left_groups(self._plan, self._store, retry_failed=retry_failed).items():
            others = [stored.get(cell.key) for cell in self._plan.of_agent(identity) if cell.kind != "cost"]
            if any(row is None or row.status not in ("done", "failed") for row in others):
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
                payload = self._payload(group)
            except PolicypressError as error:
                self._fail(group, Failure.of(error))
                continue
            if payload is None:
                self._not_ready += 1
                self._groups -= 1
                continue
            for cell, _ in group.cells:
                self._store.start(cell.key, self._provenance)
            task = Task(f"{group.identity}/costs", cost_tasks.measure, payload, alone=True, fresh=True)
            self._submitted[task.key] = group
            self._executor.submit(task)

    def _payload(self, group: _Group) -> CostPayload | None:
        """What the task is given; None where files are missing."""
        subjects = []
        for cell, maker in group.cells:
            record = self._store.artifact(maker.key)
            built = record and load(self._store.folder, record, self._store.artifact_files(maker.key))
            if not built:
                return None
            subjects.append(
                CostSubject(
                    key=cell.key,
                    model=built.files[built.record.path],
                    runtime=NATIVE if cell.protocol.runtime == NATIVE else ONNXRUNTIME,
                    lengths=tuple(episode.length for episode in self._store.episodes(maker.key)),
                )
            )
        materials = place_of(self._store.folder, group.identity) / CALIBRATION_FILE
        if not materials.is_file():
            return None
        how = self._how
        return CostPayload(
            subjects=tuple(subjects),
            parity=unpack(materials).parity,
            seed=self._seed,
            protocol=CostProtocol(
                warm_samples=how.warm_samples,
                cold_samples=how.cold_samples,
                windows=how.windows,
                processes=how.processes,
            ),
            watts_per_core=how.watts_per_core,
            run=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )

    def take(self, outcome: Outcome) -> None:
        """Bring what was measured into the store, all of an agent at once."""
        group = self._submitted.pop(outcome.key)
        failure = outcome.failure
        if failure is None:
            try:
                costs = _checked(outcome.value, {cell.key for cell, _ in group.cells})
                self._store.record_costs(costs.measured, costs.failed)
                said = [row.protocol[OTHERS] for rows in costs.measured.values() for row in rows]
                self._busy_cores.append(max(said, default=0.0))
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
        self._progress.measuring(self._finished, self._groups)

    def notices(self) -> tuple[str, ...]:
        """What the user should be told."""
        told = []
        if self._not_ready:
            told.append(f"The costs of {self._not_ready} agents are left: their other cells, or files, are not there.")
        busiest = max(self._busy_cores, default=0.0)
        if busiest > QUIET_CORES:
            told.append(
                f"Other programs kept up to {busiest:.1f} cores busy while costs were measured, as they say themselves."
            )
        return tuple(told)

    def outcome(self, interrupted: bool) -> StudyOutcome:
        """Sort the cost cells by what the store says of them."""
        stored: Mapping[str, CellRow] = {row.key: row for row in self._store.cells(kind="cost")}
        done, failed, left = [], [], []
        for cell in self._plan.cost_cells:
            row = stored.get(cell.key)
            if row is not None and row.failure is not None:
                failed.append((cell, row.failure))
            elif row is not None and row.status == "done":
                done.append(cell)
            else:
                left.append(cell)
        return StudyOutcome(tuple(done), tuple(failed), tuple(left), interrupted)


def _checked(value: object, keys: set[str]) -> MeasuredCosts:
    """``value``, if it is the costs of the cells ``keys``.

    Raises:
        ExecutionError: it is something else.
    """
    if isinstance(value, MeasuredCosts) and {*value.measured, *value.failed} == keys:
        return value
    raise ExecutionError(
        "A measurement of costs gave something else.", got=type(value).__name__, expected=f"costs of {len(keys)} cells"
    )
