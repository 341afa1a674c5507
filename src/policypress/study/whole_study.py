"""Running a study file: plan, prepare agents, press and play, measure what it costs; resumable at any moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from policypress.errors import ExecutionError, StudyInputError
from policypress.study.agents import planned_agents
from policypress.study.cell import canonical_json
from policypress.study.cost_stage import measure_cell_costs
from policypress.study.driver import StudyOutcome, run_study
from policypress.study.estimate import Estimate, estimate
from policypress.study.executor import Executor
from policypress.study.plan import StudyPlan, plan_study
from policypress.study.progress import Progress, Silent
from policypress.study.reader import STORE_NAME, StoreReader
from policypress.study.spec import StudySpec, read_spec
from policypress.study.store import Store
from policypress.study.study_worker import StudyWorker

SPEC_KEY = "study"


@dataclass(frozen=True)
class Study:
    """A study file that was read and planned, and the folder of its results."""

    spec: StudySpec
    plan: StudyPlan
    folder: Path

    @property
    def store(self) -> Path:
        """The result store."""
        return self.folder / STORE_NAME

    def left(self) -> Estimate:
        """What is still to be done, and what it will take."""
        with self._reader() as store:
            done = set() if store is None else {row.key for row in store.cells(status="done")}
            left = [cell for cell in self.plan.cells if cell.key not in done]
            return estimate(self.plan, left, store, costs=self.spec.costs)

    @contextmanager
    def _reader(self) -> Iterator[StoreReader | None]:
        if not self.store.is_file():
            yield None
            return
        with StoreReader(self.store) as store:
            yield store


def open_study(path: Path, folder: Path | None = None) -> Study:
    """Read and plan the study file ``path``; nothing is run.

    Args:
        path: of the YAML file.
        folder: of the results; by default one beside the file, with the name of the study.

    Raises:
        InputError: the file, an agent, an algorithm or an environment cannot be used.
    """
    spec = read_spec(path)
    plan = plan_study(spec, planned_agents(spec, path.parent))
    return Study(spec, plan, folder or path.parent / spec.name)


def run_whole_study(
    study: Study,
    executor: AbstractContextManager[Executor],
    progress: Progress | None = None,
    *,
    retry_failed: bool = False,
) -> tuple[StudyOutcome, tuple[str, ...]]:
    """Do what is left of ``study``; after an interruption of any kind, the same call continues.

    Costs are measured last, agent by agent, in this process, when nothing else of the study runs.

    Returns:
        How the cells ended, and what the user should be told.

    Raises:
        StudyInputError: the folder holds another study.
        StoreError: another driver runs it.
        OutputError: the disk is full.
    """
    progress = progress or Silent()
    with Store(study.store) as store:
        _claim(store, study.spec)
        for agent in study.plan.agents.values():
            store.add_agent(agent.row())
        worker = StudyWorker(study.plan.agents, study.folder, study.spec.evaluation.seed)
        with executor as running:
            outcome = run_study(
                study.plan.cells,
                worker,
                store,
                running,
                progress,
                retry_failed=retry_failed,
                needs=study.plan.needs,
                # What costs are measured on has to be there.
                results_only=not study.spec.costs,
            )
        notices: tuple[str, ...] = ()
        if study.spec.costs and not outcome.interrupted:
            outcome, notices = _measure_costs(study, store, outcome, progress)
    return outcome, notices


def _claim(store: Store, spec: StudySpec) -> None:
    """Remember whose results these are; a study may grow, but two studies do not share a folder."""
    known = store.note(SPEC_KEY)
    if known is not None and known != spec.name:
        raise StudyInputError(
            "The folder holds the results of another study.",
            got=f"{store.path}: {known}",
            expected=spec.name,
            hint="Choose another folder with -o.",
        )
    store.set_note(SPEC_KEY, spec.name)
    store.set_note("spec_json", canonical_json(spec.model_dump(mode="json", by_alias=True)))


def _measure_costs(
    study: Study, store: Store, outcome: StudyOutcome, progress: Progress
) -> tuple[StudyOutcome, tuple[str, ...]]:
    done = {cell.key for cell in outcome.done}
    notices: list[str] = []
    try:
        for identity in study.plan.agents:
            cells = [cell for cell in study.plan.of_agent(identity) if cell.key in done and cell.kind != "agent"]
            try:
                measure_cell_costs(store, cells, study.spec.evaluation.seed, None, progress)
            except ExecutionError as error:
                notices.append(f"The costs of an agent were not measured. {error}")
    except KeyboardInterrupt:
        return replace(outcome, interrupted=True), tuple(notices)
    return outcome, tuple(dict.fromkeys(notices))
