"""What a study's engine takes beside the cells' own work, and what a second worker gives.

Two Markdown tables. First the overhead: cells of one agent (baseline and four recipes, built and played) are done
through the whole engine (planning, tasks, checks, files, the store's transactions), once in one process, where
everything outside of the tasks is the engine's, and once with one worker process, where everything that the driver
computes is. Then the speed-up of return evaluation from one worker process to two: the same cells, artifacts built
before, by executors that stay alive and take turns; each round's ratio, and their median. Starting a worker (its
imports) is told apart: it happens once, whatever the study's length. Fails where the overhead is above 5 % or the
speed-up below 1.7. To be run on a quiet machine with two free cores.

    python benchmarks/study_engine.py examples/agents/sac-HalfCheetah-v4.zip
    python benchmarks/study_engine.py AGENT --episodes 30 --rounds 5
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from policypress.compression.recipe import Recipe
from policypress.engine.artifact_files import BuiltArtifact
from policypress.engine.cells.builder import CellBuilder
from policypress.engine.cells.cell import Cell
from policypress.engine.executors.debug_executor import DebugExecutor
from policypress.engine.executors.executor import Executor
from policypress.engine.executors.local_executor import LocalExecutor
from policypress.engine.plan import Plan
from policypress.engine.scheduler import run_cells
from policypress.engine.store.store import Store
from policypress.engine.tasks.calibration import Calibration, counts_for
from policypress.engine.tasks.costs import CostRequest, CostSubject
from policypress.engine.tasks.factory import OneAgent, TaskFactory
from policypress.engine.tasks.task import Outcome, Task, perform
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress.policy.identity import fingerprint
from policypress.records import EvaluationProtocol
from policypress_runtime.contract import EnvironmentSpec

RECIPES = ("none", "equalize > int8", "ptdq", "ptsq", "prune(l2, 0.3)")
MOST_OVERHEAD, LEAST_SPEED_UP = 0.05, 1.7


@dataclass
class Spent:
    """Seconds of a whole and of the tasks in it, by the wall's clock and by the processor's."""

    wall_s: float
    cpu_s: float
    tasks_wall_s: float
    tasks_cpu_s: float

    def overhead(self) -> tuple[float, float]:
        """What is not the tasks' as a share of the tasks', by both clocks."""
        return self.wall_s / self.tasks_wall_s - 1, self.cpu_s / self.tasks_cpu_s - 1


class Timed(DebugExecutor):
    """Does tasks here, and knows how long they took."""

    def __init__(self) -> None:
        super().__init__()
        self.wall_s = self.cpu_s = 0.0

    def outcomes(self) -> Iterator[Outcome]:
        """Run the queue from its head."""
        while self._queue:
            task = self._queue.popleft()
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            outcome = perform(task)
            self.wall_s += time.perf_counter() - wall_s
            self.cpu_s += time.process_time() - cpu_s
            yield outcome


@dataclass
class Built:
    """Makes the tasks of cells whose artifacts were built before: building is handing them over."""

    worker: TaskFactory
    artifacts: dict[str, BuiltArtifact] = field(default_factory=dict)

    def build(self, cell: Cell) -> Task:
        """A task that gives the artifact back, by a function that worker processes can import."""
        return Task(f"{cell.key}/build", copy, self.artifacts[cell.key])

    def build_key(self, cell: Cell) -> str | None:
        """Each cell has its artifact."""
        return None

    def prove(self, cell: Cell, artifact: BuiltArtifact) -> Task | None:
        """Nothing is lent."""
        return None

    def episodes(self, cell: Cell, artifact: BuiltArtifact | None, seeds: tuple[int, ...]) -> Task:
        """The episodes, as in any study."""
        return self.worker.episodes(cell, artifact, seeds)

    def costs(self, subjects: Mapping[Cell, CostSubject], request: CostRequest, run: str) -> Task:
        """As in any study; none are asked for."""
        return self.worker.costs(subjects, request, run)


def agent_of(path: str) -> OneAgent:
    """The agent with its observations, which a study's own cell for it makes before."""
    subject = agent_in_environment(path)
    return OneAgent(Calibration(subject), fingerprint(subject.policy))


def cells_of(agent: OneAgent, episodes: int) -> list[Cell]:
    """Baseline and variants of the agent."""
    subject = agent.only.subject
    if not isinstance(subject.environment, EnvironmentSpec):
        sys.exit("The agent names no environment.")
    protocol = EvaluationProtocol(episodes=episodes, max_steps=subject.max_steps)
    count = counts_for(subject.policy.observation_space).calibration
    builder = CellBuilder.of_agent(agent.identity, subject.environment, protocol, count)
    return [builder.recipe(Recipe.parse(text)) for text in RECIPES]


def in_one_process(worker: TaskFactory, cells: list[Cell]) -> tuple[Spent, dict[str, BuiltArtifact]]:
    """The cells through the engine, all here; what it took, and the artifacts."""
    with tempfile.TemporaryDirectory() as folder:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        with Store(Path(folder) / "study.db") as store, Timed() as executor:
            outcome = run_cells(Plan(tuple(cells)), worker, store, executor)
        spent = Spent(time.perf_counter() - wall_s, time.process_time() - cpu_s, executor.wall_s, executor.cpu_s)
        if outcome.failed:
            sys.exit(str(outcome.failed[0][1].message))
        return spent, artifacts_in(Path(folder) / "study.db", cells)


def artifacts_in(path: Path, cells: list[Cell]) -> dict[str, BuiltArtifact]:
    """Key of each cell → its artifact."""
    from policypress.engine.artifact_files import load
    from policypress.engine.store.reader import StoreReader

    with StoreReader(path) as store:
        records = {cell.key: store.artifact(cell.key) for cell in cells}
        loaded = {
            key: record and load(store.folder, record, store.artifact_files(key)) for key, record in records.items()
        }
    return {key: built for key, built in loaded.items() if built}


def with_a_worker(worker: Any, cells: list[Cell]) -> tuple[Spent, float]:
    """The cells through the engine with one worker process, and the CPU time of the worker's start.

    Here the whole by the processor's clock is driver and worker together, and the tasks are the worker alone.
    """
    with tempfile.TemporaryDirectory() as folder, LocalExecutor(1) as executor:
        start_s = warmed(executor, worker, cells[:1])
        process = psutil.Process(executor.worker_pids[0])
        before_s = cpu_of(process)
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        with Store(Path(folder) / "study.db") as store:
            run_cells(Plan(tuple(cells)), worker, store, executor)
        worked_s, driver_s = cpu_of(process) - before_s, time.process_time() - cpu_s
        elapsed_s = time.perf_counter() - wall_s
        return Spent(elapsed_s, worked_s + driver_s, elapsed_s, worked_s), start_s


def cpu_of(process: psutil.Process) -> float:
    """CPU-seconds of a process so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def warmed(executor: LocalExecutor, worker: Any, cells: list[Cell]) -> float:
    """Have each process of ``executor`` done something; the CPU-seconds of the first until then."""
    played(worker, cells, executor)
    return cpu_of(psutil.Process(executor.worker_pids[0]))


def played(worker: Any, cells: list[Cell], executor: Executor) -> float:
    """Seconds of the cells' evaluation through the engine."""
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "study.db") as store:
        began_s = time.perf_counter()
        outcome = run_cells(Plan(tuple(cells)), worker, store, executor)
        if outcome.failed:
            sys.exit(str(outcome.failed[0][1].message))
        return time.perf_counter() - began_s


def speed_ups(worker: Built, cells: list[Cell], rounds: int) -> list[tuple[float, float]]:
    """Seconds with one worker process and with two, round by round, in turns."""
    with LocalExecutor(1) as one, LocalExecutor(2) as two:
        for executor in (one, two):
            warmed(executor, worker, cells)
        times = []
        for number in range(rounds):
            order = (one, two) if number % 2 == 0 else (two, one)
            taken = {id(executor): played(worker, cells, executor) for executor in order}
            times.append((taken[id(one)], taken[id(two)]))
        return times


def overhead_table(here: Spent, local: Spent) -> list[str]:
    """The Markdown lines of the first table."""
    wall, cpu = here.overhead()
    return [
        "| where | clock | cells' own work | engine beside it | share |",
        "|---|---|---|---|---|",
        f"| one process | wall | {here.tasks_wall_s:.2f} s | {here.wall_s - here.tasks_wall_s:.3f} s | {wall:.2%} |",
        f"| one process | CPU | {here.tasks_cpu_s:.2f} s | {here.cpu_s - here.tasks_cpu_s:.3f} s | {cpu:.2%} |",
        f"| driver and one worker | CPU | {local.tasks_cpu_s:.2f} s | {local.cpu_s - local.tasks_cpu_s:.3f} s "
        f"| {local.overhead()[1]:.2%} |",
    ]


def speed_up_table(times: list[tuple[float, float]]) -> list[str]:
    """The Markdown lines of the second table."""
    lines = ["| round | 1 worker | 2 workers | ratio |", "|---|---|---|---|"]
    lines += [f"| {n} | {one:.2f} s | {two:.2f} s | {one / two:.2f} |" for n, (one, two) in enumerate(times, 1)]
    return [*lines, f"| median | | | **{median(one / two for one, two in times):.2f}** |"]


def missed(here: Spent, local: Spent, times: list[tuple[float, float]]) -> list[str]:
    """The goals that were not reached."""
    found = []
    worst = max(*here.overhead(), local.overhead()[1])
    if worst > MOST_OVERHEAD:
        found.append(f"overhead {worst:.1%} > {MOST_OVERHEAD:.0%}")
    ratio = median(one / two for one, two in times)
    if ratio < LEAST_SPEED_UP:
        found.append(f"speed-up {ratio:.2f} < {LEAST_SPEED_UP}")
    return found


def main() -> None:
    """Measure, print, and fail where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agent")
    parser.add_argument("--episodes", type=int, default=30, help="of each cell")
    parser.add_argument("--rounds", type=int, default=5, help="of the speed-up")
    arguments = parser.parse_args()
    agent = agent_of(arguments.agent)
    agent.only.materials  # noqa: B018  the agent's own cell, which a study does before
    worker, cells = TaskFactory(agent), cells_of(agent, arguments.episodes)
    here, artifacts = in_one_process(worker, cells)
    built = Built(worker, artifacts)
    local, start_s = with_a_worker(worker, cells)
    times = speed_ups(built, cells, arguments.rounds)
    print("\n".join([*overhead_table(here, local), ""]))
    print(f"A worker's start takes {start_s:.1f} CPU-seconds, its first build and episodes included.\n")
    print("\n".join(speed_up_table(times)))
    if goals := missed(here, local, times):
        sys.exit("missed: " + "; ".join(goals))


if __name__ == "__main__":
    main()
