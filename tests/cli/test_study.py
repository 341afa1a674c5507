"""``policypress study`` as a person meets it: run, killed, resumed, asked for, refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import command_line
from policypress.engine.store.reader import STORE_NAME, StoreReader

SPEC = """
policypress-study: 1
name: killed
agents:
  - files: {agent}
recipes: [none, equalize > int8, "prune(l2, 0.1..0.3/0.1)"]
evaluation: {{episodes: 40, runtimes: onnxruntime}}
"""


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "policypress", "study", *map(str, arguments)]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return command_line.run("study", *arguments)


@pytest.fixture
def spec(tmp_path: Path, own_agents: Path) -> Path:
    path = tmp_path / "killed.yml"
    path.write_text(SPEC.format(agent=own_agents / "dqn-CartPole-v1.zip"))
    return path


def episodes(folder: Path) -> dict[str, tuple[tuple[int, float], ...]]:
    with StoreReader(folder / STORE_NAME) as store:
        return {row.key: tuple((e.seed, e.episode_return) for e in store.episodes(row.key)) for row in store.cells()}


def test_estimate_runs_nothing(spec: Path) -> None:
    told = run("run", spec, "--estimate")
    assert told.returncode == 0
    assert "7 cells left" in told.stderr
    assert list(spec.parent.iterdir()) == [spec]


def test_a_study_that_was_run_is_exported_and_measured_later(spec: Path, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    spec.write_text(spec.read_text() + "costs: {warm_samples: 10, cold_samples: 10, windows: 1, processes: 1}\n")
    changes = ["--set", "evaluation.episodes=2", "--set", "recipes=[none]", "--set", "name=changed"]
    done = run("run", spec, *changes, "--no-costs", "--executor", "debug", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"] == {"done": 3, "running": 0, "failed": 0, "pending": 1}
    measured = run("run", spec, *changes, "--costs-only", "--jobs", "1", "--json")
    assert measured.returncode == 0, measured.stderr
    assert json.loads(measured.stdout)["counts"] == {"done": 4, "running": 0, "failed": 0, "pending": 0}
    told = run("export", spec, *changes, "--to", "parquet", "-o", tmp_path / "tables", "--json")
    assert told.returncode == 0, told.stderr
    files = {Path(file).name for file in json.loads(told.stdout)["files"]}
    assert {"results.parquet", "episodes.parquet"} <= files
    results = pandas.read_parquet(tmp_path / "tables" / "results.parquet")
    assert sorted(results.kind) == ["agent", "baseline", "cost", "random"]
    assert (results[results.kind == "cost"].latency_warm_s > 0).all()


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_cells(spec: Path, tmp_path: Path) -> None:
    whole = run("run", spec, "-o", tmp_path / "whole", "--executor", "debug")
    assert whole.returncode == 0, whole.stderr
    folder = tmp_path / "parts"
    for pause_s in (2.5, 4.0, 5.0):
        driver = subprocess.Popen(
            command("run", spec, "-o", folder, "--jobs", "2"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(pause_s)
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    last = run("run", spec, "-o", folder, "--jobs", "2", "--json")
    assert last.returncode == 0, last.stderr
    told = json.loads(last.stdout)
    assert told["counts"] == {"done": 7, "running": 0, "failed": 0, "pending": 0}
    assert episodes(folder) == episodes(tmp_path / "whole")
    assert "7 of 7 cells done" in run("status", spec, "-o", folder).stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "missing.yml"], "There is no missing.yml"),
        (["status", "missing.yml"], "There is no missing.yml"),
        (["run", "SPEC", "--executor", "slurm"], "local, debug, ray"),
        (["run", "SPEC", "--address", "a:1"], "Only Ray"),
        (["retry", "SPEC", "--jobs", "0"], "--jobs"),
        (["run", "SPEC", "--no-costs", "--costs-only"], "There would be nothing"),
        (["run", "SPEC", "--set", "environments=5"], "does not change a study file"),
        (["status", "SPEC", "--set", "evaluation.episodes=0"], "evaluation.episodes"),
        (["export", "SPEC", "--to", "excel", "-o", "x"], "parquet, mlflow"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(spec: Path, arguments: list[str], expected: str) -> None:
    told = run(*[str(spec) if argument == "SPEC" else argument for argument in arguments])
    assert told.returncode == 2
    assert expected in told.stderr
    assert "Traceback" not in told.stderr
    assert list(spec.parent.iterdir()) == [spec]


LI = """
policypress-study: 1
name: small-li
report: li2023
agents:
  - label: fp32
    train: &five
      algorithms: dqn
      environments: CartPole-v0
      published: li2023
      episodes: 5
      seeds: 0..2
      hyperparameters: {learning_starts: 10}
    recipes: none
  - label: qat
    train: {<<: *five, qat: {observation_scaling: false, per_channel: false}}
    recipes: qat
evaluation: {episodes: 2, runtimes: onnxruntime}
"""


@pytest.mark.slow
def test_li_s_study_by_one_command_and_its_report(tmp_path: Path) -> None:
    path = tmp_path / "small-li.yml"
    path.write_text(LI)
    done = run("run", path, "--executor", "debug")
    assert done.returncode == 0, done.stderr
    told = run("report", path, "-o", tmp_path / "report", "--json")
    assert told.returncode == 0, told.stderr
    assert Path(json.loads(told.stdout)["page"]).is_file()
    data = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    (task,) = data["tasks"]
    assert (task["episodes"], data["missing"]) == (5, 0)
    assert all(len(task["forms"][form]["trend"]["mean"]) == 5 for form in ("fp32", "qat"))
    assert all(task["forms"][form]["evaluated"]["estimate"] > 0 for form in ("fp32", "qat"))
    (row,) = data["memory"]
    assert row["qat"]["deployed_bytes"] < row["fp32"]["deployed_bytes"] / 2
    # In one process only the first training's resident set is its own.
    assert (row["fp32"]["runs"], row["qat"]["runs"]) in {(1, 0), (0, 1)}
    assert "0 cells left" in run("run", path, "--estimate").stderr


def test_a_report_needs_results(tmp_path: Path) -> None:
    path = tmp_path / "small-li.yml"
    path.write_text(LI)
    told = run("report", path, "-o", tmp_path / "report")
    assert told.returncode == 2
    assert "study.db" in told.stderr
    assert "Traceback" not in told.stderr
    assert list(tmp_path.iterdir()) == [path]


MINE = """
import gymnasium
gymnasium.register("Mine-v0", "gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=30)
"""
OWN_STUDY = """
policypress-study: 1
name: own
agents:
  - train:
      algorithms: ppo
      environments: "mine.envs:Mine-v0"
      steps: 64
      update: fast
      hyperparameters: {n_steps: 32, batch_size: 16, n_envs: 1, n_epochs: 1}
recipes: int8
evaluation: {episodes: 2, runtimes: onnxruntime}
"""


@pytest.mark.slow
def test_a_user_s_own_environment_is_trained_and_played_in_workers(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "envs.py").write_text(MINE)
    (tmp_path / "own.yml").write_text(OWN_STUDY)
    command = [sys.executable, "-m", "policypress", "study", "run", "own.yml", "--jobs", "2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "4 of 4 cells done" in done.stdout
