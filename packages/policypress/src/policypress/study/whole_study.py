"""Running a study file: plan, prepare agents, press and play, measure what it costs; resumable at any moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from policypress.engine.cells.cell import canonical_json
from policypress.engine.events import EventHandler, ignore
from policypress.engine.executors.executor import Executor
from policypress.engine.outcome import RunOutcome
from policypress.engine.run_options import RunOptions
from policypress.engine.scheduler import run_cells
from policypress.engine.store.reader import SPEC_KEY, STORE_NAME, StoreReader
from policypress.engine.store.store import Store
from policypress.engine.tasks.factory import TaskFactory
from policypress.study.agents import planned_agents
from policypress.study.cost_files import files_wanted
from policypress.study.estimate import Estimate, estimate
from policypress.study.plan import StudyPlan, plan_study
from policypress.study.spec import StudySpec, read_spec
from policypress.study.study_agents import StudyAgents
from policypress_runtime.errors import StudyInputError

Part = Literal["all", "returns", "costs"]


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
            return estimate(self.plan, left, store)

    @contextmanager
    def _reader(self) -> Iterator[StoreReader | None]:
        if not self.store.is_file():
            yield None
            return
        with StoreReader(self.store) as store:
            yield store


def open_study(path: Path, folder: Path | None = None, overrides: Sequence[str] = ()) -> Study:
    """Read and plan the study file ``path``; nothing is run.

    Args:
        path: of the YAML file.
        folder: of the results; by default one beside the file, with the name of the study.
        overrides: changes to the file, as ``environments=v5``; see :mod:`~policypress.study.overrides`.

    Raises:
        InputError: the file, an agent, an algorithm or an environment cannot be used.
    """
    spec = read_spec(path, overrides)
    plan = plan_study(spec, planned_agents(spec, path.parent))
    return Study(spec, plan, folder or path.parent / spec.name)


def run_whole_study(
    study: Study,
    executor: AbstractContextManager[Executor],
    on_event: EventHandler = ignore,
    *,
    retry_failed: bool = False,
    part: Part = "all",
) -> RunOutcome:
    """Do what is left of ``study``; after an interruption of any kind, the same call continues.

    Costs are measured last, agent by agent, when nothing else of the study runs on the machine.

    Args:
        study: what to run.
        executor: does the tasks.
        on_event: called with every event.
        retry_failed: also do the cells that failed before.
        part: ``returns`` measures no costs, which want a quiet machine; ``costs`` measures those of agents whose
            returns are known, and starts nothing new.

    Returns:
        How the cells of that part ended, and notices for the user.

    Raises:
        StudyInputError: the folder holds another study, or there are no costs to measure.
        StoreError: another driver runs it.
        OutputError: the disk is full.
    """
    spec, plan = study.spec, study.plan
    if part == "costs" and spec.costs is None:
        raise StudyInputError("The study does not measure costs.", got=spec.name, expected="`costs:` in the study file")
    measured = None if part == "returns" else spec.costs
    with Store(study.store) as store:
        _claim(store, spec)
        for agent in plan.agents.values():
            store.add_agent(agent.row())
        store.plan(plan.cells)
        wanted: frozenset[str] = frozenset()
        notices: tuple[str, ...] = ()
        if measured is not None:
            wanted, gone = files_wanted(plan, store, retry_failed=retry_failed)
            notices = _told_of_gone(len(gone))
        done = {row.key for row in store.cells(status="done")}
        skipped = {cell.key for cell in plan.result_cells if cell.key not in done} if part == "costs" else frozenset()
        seed = spec.evaluation.seed
        options = RunOptions(
            retry_failed=retry_failed,
            results_only=True,
            files_wanted=wanted,
            skipped=skipped,
            costs=None if measured is None else measured.request(seed),
        )
        tasks = TaskFactory(StudyAgents(plan.agents, study.folder, seed))
        with executor as running:
            outcome = run_cells(plan, tasks, store, running, on_event, options)
    return replace(outcome, notices=(*notices, *outcome.notices))


def _told_of_gone(agents: int) -> tuple[str, ...]:
    if not agents:
        return ()
    return (
        f"The costs of {agents} agents were not measured: the agents are gone, and are not trained again for it. "
        "Keep trained agents with `policypress study keep`.",
    )


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
    if known is None and store.agents():
        raise StudyInputError(
            "The folder holds the results of `policypress compress`.",
            got=f"{store.path}: {', '.join(agent.source for agent in store.agents())}",
            expected=f"results of {spec.name}, or a new folder",
            hint="Choose another folder with -o.",
        )
    store.set_note(SPEC_KEY, spec.name)
    store.set_note("spec_json", canonical_json(spec.model_dump(mode="json", by_alias=True)))
