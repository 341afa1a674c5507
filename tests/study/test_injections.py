"""What may go wrong in the middle of a study, done to it: in the end it has the same cells, none twice, none lost."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from small_study import study_file
from synthetic_study import SyntheticWorker, grid, variant

from policypress.engine import artifact_files
from policypress.engine.executors.debug_executor import DebugExecutor
from policypress.engine.executors.executor import Executor
from policypress.engine.executors.local_executor import LocalExecutor
from policypress.engine.plan import Plan
from policypress.engine.scheduler import run_cells
from policypress.engine.store.reader import StoreReader
from policypress.engine.store.store import Store
from policypress.engine.tasks.agents import PROGRESS_FILE
from policypress.study.study_agents import WORKPLACE
from policypress.study.whole_study import open_study, run_whole_study
from policypress_runtime.errors import OutputError, StoreError

COSTS = {"warm_samples": 10, "cold_samples": 10, "windows": 1, "processes": 1}
STEPS = 1500
Rows = dict[str, list[tuple[Any, ...]]]


def rows(path: Path) -> Rows:
    """What a store says of every cell, without times."""
    with closing(sqlite3.connect(path)) as connection:
        queries = {
            "cells": "SELECT key, kind, recipe, status, error FROM cells ORDER BY position",
            "artifacts": "SELECT cell_key, sha256, packed_bytes FROM artifacts ORDER BY cell_key",
            "episodes": "SELECT cell_key, seed, episode_return, length, ending FROM episodes ORDER BY cell_key, seed",
            "prepared": "SELECT cell_key, agent_sha256 FROM prepared ORDER BY cell_key",
            "measurements": "SELECT cell_key, quantity, count(*) FROM measurements GROUP BY 1, 2 ORDER BY 1, 2",
        }
        return {name: connection.execute(query).fetchall() for name, query in queries.items()}


def synthetic(folder: Path, executor: Executor | None = None) -> Rows:
    with Store(folder / "study.db") as store:
        run_cells(Plan(tuple(grid())), SyntheticWorker(), store, executor or DebugExecutor())
    return rows(folder / "study.db")


def test_a_disk_without_room_for_artifacts_stops_the_study_and_room_lets_it_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = synthetic(tmp_path / "reference")
    written: list[Mapping[Path, bytes]] = []
    plain = artifact_files.write_all_atomic

    def full(files: Mapping[Path, bytes]) -> None:
        if len(written) == 2:
            raise OutputError("The file cannot be written.", got="no space left on device")
        written.append(files)
        plain(files)

    with monkeypatch.context() as patch:
        patch.setattr(artifact_files, "write_all_atomic", full)
        with pytest.raises(OutputError, match="cannot be written"):
            synthetic(tmp_path / "study")
    assert 0 < len(rows(tmp_path / "study" / "study.db")["artifacts"]) < len(reference["artifacts"])
    assert synthetic(tmp_path / "study") == reference


def test_a_store_that_may_not_grow_is_an_error_that_says_so_and_nothing_is_half_written(tmp_path: Path) -> None:
    """Files of a driver that reach the limit are what a full disk is to SQLite: a write that is refused."""
    program = Path(__file__).parents[1] / "engine" / "limited_process.py"
    command = [sys.executable, str(program), str(tmp_path / "study"), "150000"]
    stopped = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert stopped.returncode == OutputError.exit_code, stopped.stderr
    assert "disk is full or failing" in stopped.stdout
    assert "Traceback" not in stopped.stderr
    cells = [variant(f"recipe {number}", 100) for number in range(40)]
    with StoreReader(tmp_path / "study" / "study.db") as store:
        kept = {row.key: store.episodes(row.key) for row in store.cells()}
    with Store(tmp_path / "study" / "study.db") as store:
        outcome = run_cells(Plan(tuple(cells)), SyntheticWorker(), store, DebugExecutor())
        assert outcome.done == tuple(cells)
        assert all(set(played) <= set(store.episodes(key)) for key, played in kept.items())
    whole = rows(tmp_path / "study" / "study.db")
    with Store(tmp_path / "reference" / "study.db") as store:
        run_cells(Plan(tuple(cells)), SyntheticWorker(), store, DebugExecutor())
    assert whole == rows(tmp_path / "reference" / "study.db")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_node_lost_in_the_middle_of_a_study_changes_nothing(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    from ray.cluster_utils import Cluster

    from policypress.engine.executors.ray_executor import RayExecutor

    reference = synthetic(tmp_path / "reference")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        lost = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()

        class Losing(SyntheticWorker):
            made = 0

            def episodes(self, *arguments: Any) -> Any:
                self.made += 1
                if self.made == 4:
                    cluster.remove_node(lost, allow_graceful=False)
                return super().episodes(*arguments)

        with RayExecutor(address=cluster.address) as executor, Store(tmp_path / "study" / "study.db") as store:
            assert executor.machines == 2
            worker = Losing(0.3)
            outcome = run_cells(Plan(tuple(grid())), worker, store, executor)
            # Ray notices after a while.
            wait_until(lambda: executor.machines == 1)
    finally:
        cluster.shutdown()
    assert worker.made > 4
    assert outcome.done == tuple(grid())
    assert rows(tmp_path / "study" / "study.db") == reference


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return study_file(tmp_path_factory.mktemp("spec"), steps=STEPS, costs=COSTS)


@pytest.fixture(scope="module")
def reference(spec: Path) -> Rows:
    study = open_study(spec, spec.parent / "reference")
    outcome = run_whole_study(study, DebugExecutor())
    assert outcome.done == study.plan.cells
    return rows(study.store)


def drive(spec: Path, folder: Path, jobs: int = 2) -> subprocess.Popen[str]:
    command = [sys.executable, str(Path(__file__).with_name("study_process.py")), str(spec), str(folder), str(jobs)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until(happened: Callable[[], bool], driver: subprocess.Popen[str] | None = None) -> None:
    end = time.monotonic() + 240
    while not happened():
        assert driver is None or driver.poll() is None, driver.communicate() if driver else None
        assert time.monotonic() < end, "the driver does not get on"
        time.sleep(0.01)


def training(folder: Path) -> bool:
    """Whether an agent is being trained."""
    return any((folder / WORKPLACE).glob(f"*/{PROGRESS_FILE}"))


def count(folder: Path, query: str) -> int:
    try:
        with closing(sqlite3.connect(f"file:{folder / 'study.db'}?mode=ro", uri=True)) as connection:
            return int(connection.execute(query).fetchone()[0])
    except sqlite3.Error:
        return 0


@pytest.mark.slow
def test_a_driver_killed_while_it_trains_plays_and_measures_loses_nothing(
    spec: Path, reference: Rows, tmp_path: Path
) -> None:
    moments: tuple[Callable[[], bool], ...] = (
        lambda: training(tmp_path),
        lambda: count(tmp_path, "SELECT count(*) FROM episodes") > 20,
        lambda: count(tmp_path, "SELECT count(*) FROM cells WHERE kind = 'cost' AND status = 'running'") > 0,
    )
    for moment in moments:
        driver = drive(spec, tmp_path)
        wait_until(moment, driver)
        with pytest.raises(StoreError, match=f"held by process {driver.pid}"):
            run_whole_study(open_study(spec, tmp_path), DebugExecutor())
        driver.kill()
        driver.communicate()
        assert driver.returncode == -signal.SIGKILL
    driver = drive(spec, tmp_path)
    told, errors = driver.communicate(timeout=400)
    assert told == f"{len(reference['cells'])} 0 0\n", errors
    assert rows(tmp_path / "study.db") == reference


@pytest.mark.slow
def test_workers_killed_while_they_train_and_play_lose_nothing(spec: Path, reference: Rows, tmp_path: Path) -> None:
    study = open_study(spec, tmp_path)
    executor = LocalExecutor(2)
    killed: list[int] = []

    def kill() -> None:
        wait_until(lambda: training(tmp_path))
        killed.append(executor.worker_pids[0])
        os.kill(killed[0], signal.SIGKILL)
        wait_until(lambda: count(tmp_path, "SELECT count(*) FROM episodes") > 20)
        killed.append(next(pid for pid in executor.worker_pids if pid not in killed))
        os.kill(killed[1], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    outcome = run_whole_study(study, executor)
    killer.join()
    assert len(killed) == 2
    assert outcome.done == study.plan.cells
    assert rows(study.store) == reference


@pytest.mark.slow
def test_an_agent_whose_training_breaks_stops_no_other(tmp_path: Path) -> None:
    path = study_file(tmp_path)
    path.write_text(path.read_text().replace("n_epochs: 1", "learning_rate: 1.0e+30"))
    study = open_study(path, tmp_path / "results")
    outcome = run_whole_study(study, LocalExecutor(2))
    trained = {agent.identity for agent in study.plan.agents.values() if agent.training is not None}
    failed = {cell.agent_sha256: failure for cell, failure in outcome.failed if cell.kind == "agent"}
    assert set(failed) == trained
    assert all(failure.message for failure in failed.values())
    assert {cell.agent_sha256 for cell, _ in outcome.failed} == trained
    assert len(outcome.done) + len(outcome.failed) == len(study.plan.cells)
    assert {cell.kind for cell in outcome.done} == {"random", "agent", "baseline", "variant"}
