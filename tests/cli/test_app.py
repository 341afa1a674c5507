"""The command line as a person meets it: in processes of its own."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from command_line import run
from policypress import __version__
from policypress.engine.store.reader import STORE_NAME, StoreReader
from policypress_runtime.contract import NO_NORMALISER_FOUND
from policypress_runtime.errors import StoreError

CARTPOLE = "dqn-CartPole-v1.zip"
# Each process more imports torch anew.
ONE = ("--jobs", "1")


def started(*arguments: str) -> subprocess.CompletedProcess[str]:
    """``python -m policypress`` from nothing."""
    return subprocess.run(
        [sys.executable, "-m", "policypress", *arguments], capture_output=True, text=True, timeout=300
    )


def test_version_and_help() -> None:
    assert started("--version").stdout.strip() == f"policypress {__version__}"
    text = started("--help").stdout
    assert all(command in text for command in ("inspect", "export", "compress", "evaluate", "bench", "doctor"))


@pytest.mark.parametrize("command", ["inspect", "export", "compress", "evaluate", "bench", "doctor"])
def test_every_command_has_an_example_in_its_help(command: str) -> None:
    assert f"policypress {command}" in run(command, "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["inspect", "missing.zip"], "There is no missing.zip"),
        (["compress", "AGENT", "-o", "OUT", "--recipe", "int8 > equalize"], "try equalize > int8"),
        (["compress", "AGENT", "-o", "OUT", "--recipe", "prun(l2, 0.5)"], "Did you mean 'prune'"),
        (["compress", "AGENT", "-o", "OUT", "--env", "Hopper-v4"], "does not fit Hopper-v4"),
        (["compress", "AGENT", "-o", "OUT", "--env", "CartPoul-v1"], "CartPole-v1"),
        (["compress", "AGENT", "-o", "OUT", "--env", "no.such.module:Env-v0"], "cannot be imported"),
        (["compress", "AGENT", "-o", "OUT", "--observations", "missing.npz", "--classic"], "cannot be read"),
        (["compress", "AGENT", "-o", "OUT", "--observations", "missing.npz"], "A search needs episodes"),
        (["compress", "AGENT", "-o", "OUT", "--keep", "1.5"], "share to keep"),
        (["compress", "AGENT", "-o", "OUT", "--minimize", "beauty"], "size, latency, energy, macs"),
        (["compress", "AGENT", "-o", "OUT", "--classic", "--recipe", "int8"], "Either --recipe or --classic"),
        (["compress", "AGENT", "-o", "OUT", "--cnn-strides", "four"], "strides cannot be parsed"),
        (["export", "AGENT", "-o", "policy.pb"], "ends in .onnx"),
        (["export", "AGENT", "-o", "policy.c", "--target", "z80"], "cortex-m4"),
        (["export", "AGENT", "-o", "policy.onnx", "--target", "host"], "-o NAME.c"),
        (["evaluate", "missing.onnx"], "no artifact at this path"),
        (["compress", "AGENT", "-o", "OUT", "--episodes", "0"], "--episodes"),
        (["compress", "AGENT", "-o", "OUT", "--watts-per-core", "0"], "power of a busy core"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(
    arguments: list[str], expected: str, own_agents: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    places = {"AGENT": str(own_agents / CARTPOLE), "OUT": str(out)}
    result = run(*[places.get(argument, argument) for argument in arguments], cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert expected in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert not list(tmp_path.rglob("*.onnx"))


def test_a_truncated_agent_is_refused(own_agents: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "agent.zip"
    damaged.write_bytes((own_agents / CARTPOLE).read_bytes()[:5000])
    result = run("compress", damaged, "-o", tmp_path / "out")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_inspect_in_words_and_in_json(own_agents: Path) -> None:
    words = run("inspect", own_agents / CARTPOLE)
    assert words.returncode == 0
    assert "dqn" in words.stdout
    data = json.loads(run("inspect", own_agents / CARTPOLE, "--json").stdout)
    assert data["algorithm"] == "dqn"
    assert data["parameters"] == 4 * 256 + 256 + 256 * 256 + 256 + 256 * 2 + 2
    assert data["folded"] == ["argmax"]
    assert data["environment"]["id"] == "CartPole-v1"
    assert data["assumptions"] == [NO_NORMALISER_FOUND]
    assert "none found next to the file" in words.stdout
    assert "none found" not in run("inspect", own_agents / CARTPOLE, "--normalizer", "none").stdout


def test_compress_twice_evaluate_export_and_bench(own_agents: Path, tmp_path: Path) -> None:
    agent, out = own_agents / CARTPOLE, tmp_path / "out"
    recipes = ["--recipe", "ptdq", "--recipe", "prune(l2,0.1)"]
    arguments = ["compress", agent, "-o", out, *recipes, "--episodes", "3", "--no-costs", "--json", *ONE]
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    data = json.loads(result.stdout)
    # The same command again keeps everything.
    stamps = {path: path.stat().st_mtime_ns for path in (out / "artifacts").rglob("*.onnx")}
    assert stamps
    assert json.loads(run(*arguments).stdout) == data
    assert {path: path.stat().st_mtime_ns for path in (out / "artifacts").rglob("*.onnx")} == stamps
    assert [variant["recipe"] for variant in data["variants"]] == ["ptdq", "prune(l2, 0.1)"]
    assert data["baseline"]["returns"] == [500.0] * 3
    artifact = out / data["variants"][1]["artifact"]
    assert artifact.stat().st_size == data["variants"][1]["size_bytes"]
    assert json.loads((out / "results.json").read_text()) == data
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    assert NO_NORMALISER_FOUND in (out / "report.html").read_text()
    assert NO_NORMALISER_FOUND not in result.stderr
    assert (out / "figures" / "return-against-size.png").is_file()
    assert data["baseline"]["latency_s"] is None
    assert data["baseline"]["latency_s_reason"] == "not measured"
    assert data["variants"][1]["parameter_ratio"] == pytest.approx(0.19, abs=0.01)

    evaluated = json.loads(run("evaluate", artifact, agent, "--episodes", "3", "--json").stdout)
    assert evaluated["evaluations"][0]["returns"] == data["variants"][1]["returns"]
    assert evaluated["evaluations"][1]["returns"] == data["baseline"]["returns"]

    exported = tmp_path / "policy.onnx"
    assert run("export", agent, "-o", exported, "--recipe", "equalize > int8").returncode == 0
    written = run("export", agent, "-o", tmp_path / "policy.c", "--recipe", "equalize > int8", "--target", "cortex-m4")
    assert written.returncode == 0, written.stderr
    assert "flash on cortex-m4" in written.stdout
    assert "int policy_act(const float *observation, int32_t *action);" in (tmp_path / "policy.h").read_text()
    sidecar = json.loads((tmp_path / "policy.onnx.json").read_text())
    assert (sidecar["recipe"], sidecar["assumptions"]) == ("equalize > int8", [NO_NORMALISER_FOUND])
    assert f"Assumed: {NO_NORMALISER_FOUND}" in (tmp_path / "policy.h").read_text()
    latencies = json.loads(run("bench", exported, agent, "--samples", "50", "--json").stdout)["latencies"]
    assert [entry["file"] for entry in latencies] == ["floor", str(exported), str(agent)]
    assert 0 < latencies[0]["warm_s"]["p50"] < latencies[1]["warm_s"]["p50"]


def test_ctrl_c_keeps_what_is_complete_and_the_same_command_continues(own_agents: Path, tmp_path: Path) -> None:
    options = ["--recipe", "ptdq", "--episodes", "40", "--no-costs", *ONE]
    arguments = ["compress", str(own_agents / CARTPOLE), "-o", str(tmp_path), *options]
    process = subprocess.Popen(
        [sys.executable, "-m", "policypress", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    _wait_for_episodes(tmp_path / STORE_NAME, process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command to continue" in stderr
    assert "Traceback" not in stderr
    kept = _episodes(tmp_path / STORE_NAME)
    assert 0 < len(kept) < 120
    assert run(*arguments).returncode == 0
    finished = _episodes(tmp_path / STORE_NAME)
    assert len(finished) == 120
    assert kept.items() <= finished.items()


def test_a_search_without_time_or_episodes_says_that_the_fp32_artifact_is_what_qualifies(
    own_agents: Path, tmp_path: Path
) -> None:
    limits = ["--budget-minutes", "0.001", "--max-episodes", "40", "--training-free", "--no-costs", *ONE]
    result = run("compress", own_agents / CARTPOLE, "-o", tmp_path, *limits)
    assert result.returncode == 0, result.stderr
    assert "less than what cannot be left out" in result.stderr
    assert "Nothing smaller was certified" in result.stdout
    assert result.stdout.splitlines()[-1] == f"report: {tmp_path / 'report.html'}"
    data = json.loads((tmp_path / "results.json").read_text())
    assert data["winner"] is None
    assert data["search"]["ending"] == "nothing certified"
    assert (tmp_path / data["baseline"]["artifact"]).is_file()


def _wait_for_episodes(store: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        # The first thing that a new store has is no table at all.
        with contextlib.suppress(StoreError):
            if _episodes(store):
                return
        time.sleep(0.05)
    raise AssertionError(f"no episode was stored; exit code {process.poll()}")


def _episodes(store: Path) -> dict[tuple[str, int], float]:
    with StoreReader(store) as reader:
        return {
            (row.key, episode.seed): episode.episode_return
            for row in reader.cells()
            for episode in reader.episodes(row.key)
        }


def test_recorded_observations_stand_in_for_an_environment(own_agents: Path, tmp_path: Path) -> None:
    logged = tmp_path / "logged.npz"
    rng = np.random.default_rng(0)
    np.savez(logged, observations=rng.normal(0, 0.1, (300, 4)).astype(np.float32))
    arguments = ["--recipe", "int8", "--observations", logged, "--no-costs", *ONE]
    result = run("compress", own_agents / CARTPOLE, "-o", tmp_path, *arguments)
    assert result.returncode == 0, result.stderr
    assert "return not certified" in result.stdout
    assert result.stdout.splitlines()[-1] == f"report: {tmp_path / 'report.html'}"
    assert "action error" in result.stdout


def test_a_foreign_onnx_file_is_an_agent(own_agents: Path, tmp_path: Path) -> None:
    exported = tmp_path / "policy.onnx"
    assert run("export", own_agents / CARTPOLE, "-o", exported).returncode == 0
    arguments = ["--recipe", "ptdq", "--episodes", "2", "--no-costs", "--json", *ONE]
    result = run("compress", exported, "-o", tmp_path / "out", *arguments)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["baseline"]["returns"] == [500.0, 500.0]
