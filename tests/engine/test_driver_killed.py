"""The driver, or a worker, ends in the middle; the same command again ends with the same rows."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from synthetic_study import SyntheticWorker, grid

from command_line import Started
from policypress.engine.executors.debug_executor import DebugExecutor
from policypress.engine.executors.local_executor import LocalExecutor
from policypress.engine.plan import Plan
from policypress.engine.scheduler import run_cells
from policypress.engine.store.reader import StoreReader
from policypress.engine.store.store import Store
from policypress_runtime.errors import PolicypressError, StoreError

PAUSE_S = 0.01
EPISODES = sum(cell.protocol.episodes for cell in grid())


def rows(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The tables of a store as they stand, without times and provenance."""
    with closing(sqlite3.connect(path)) as connection:
        queries = {
            "cells": "SELECT key, kind, recipe, status, error FROM cells ORDER BY position",
            "artifacts": "SELECT * FROM artifacts ORDER BY cell_key",
            "episodes": "SELECT * FROM episodes ORDER BY cell_key, seed",
        }
        return {name: connection.execute(query).fetchall() for name, query in queries.items()}


def drive(folder: Path, jobs: int, pause_s: float = PAUSE_S) -> Started:
    script = Path(__file__).with_name("driver_process.py")
    return Started(folder, str(jobs), str(pause_s), script=script, session=True)


def wait_for_episodes(folder: Path, count: int) -> None:
    """Until the store has ``count`` episodes."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            with StoreReader(folder / "study.db") as store:
                if sum(len(store.seeds(row.key)) for row in store.cells()) >= count:
                    return
        except PolicypressError:
            pass
        time.sleep(0.005)
    raise AssertionError("the driver does not get on")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Any, ...]]]:
    folder = tmp_path_factory.mktemp("reference")
    with Store(folder / "study.db") as store:
        run_cells(Plan(tuple(grid())), SyntheticWorker(), store, DebugExecutor())
    found = rows(folder / "study.db")
    assert len(found["episodes"]) == EPISODES
    return found


@pytest.mark.parametrize("jobs", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_a_driver_killed_again_and_again_loses_nothing(
    tmp_path: Path, reference: dict[str, list[tuple[Any, ...]]], jobs: int
) -> None:
    kills = 0
    for at in (1, 30):
        driver = drive(tmp_path, jobs)
        wait_for_episodes(tmp_path, at)
        time.sleep(random.Random(at).random() * PAUSE_S)
        driver.kill()
        driver.communicate()
        kills += driver.returncode == -signal.SIGKILL
    assert kills >= 1
    (tmp_path / "artifacts" / "0123456789abcdef").mkdir()
    (tmp_path / "artifacts" / "0123456789abcdef" / "policy.onnx.partial").write_bytes(b"half")
    driver = drive(tmp_path, jobs, 0.0)
    output, errors = driver.communicate(timeout=60)
    assert (output, errors) == (f"complete {len(grid())} 0\n", "")
    assert rows(tmp_path / "study.db") == reference
    assert list(tmp_path.rglob("*.partial")) == []


def test_killed_workers_lose_nothing(tmp_path: Path, reference: dict[str, list[tuple[Any, ...]]]) -> None:
    with Store(tmp_path / "study.db") as store, LocalExecutor(2) as executor:

        class Killer(SyntheticWorker):
            made = 0

            def episodes(self, *arguments: Any) -> Any:
                self.made += 1
                if self.made in (3, 8):
                    os.kill(executor.worker_pids[0], signal.SIGKILL)
                return super().episodes(*arguments)

        outcome = run_cells(Plan(tuple(grid())), Killer(PAUSE_S), store, executor)
    assert outcome.done == tuple(grid())
    assert rows(tmp_path / "study.db") == reference


@pytest.mark.parametrize("jobs", [0, 2])
def test_ctrl_c_keeps_what_is_finished(tmp_path: Path, reference: dict[str, list[tuple[Any, ...]]], jobs: int) -> None:
    driver = drive(tmp_path, jobs, 0.05)
    wait_for_episodes(tmp_path, 10)
    workers = psutil.Process(driver.pid).children()
    os.killpg(driver.pid, signal.SIGINT)
    output, errors = driver.communicate(timeout=20)
    assert errors == ""
    assert output.startswith("interrupted ")
    assert driver.returncode == 0
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert alive == []
    with StoreReader(tmp_path / "study.db") as store:
        assert store.counts()["running"] == 0
        assert 0 < sum(len(store.seeds(row.key)) for row in store.cells()) < EPISODES
    assert drive(tmp_path, jobs, 0.0).communicate(timeout=60)[0] == f"complete {len(grid())} 0\n"
    assert rows(tmp_path / "study.db") == reference


def test_a_second_driver_is_refused_while_the_first_runs(tmp_path: Path) -> None:
    with drive(tmp_path, 0, 0.05) as driver:
        wait_for_episodes(tmp_path, 1)
        with pytest.raises(StoreError, match=f"held by process {driver.pid}"):
            Store(tmp_path / "study.db")
        driver.kill()
        driver.wait()
    Store(tmp_path / "study.db").close()
