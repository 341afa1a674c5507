"""Every real robot's ONNX policy beside the repository: written in fp32 and int8, one searched; memory is read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from robot_files import FEED_FORWARD, RECURRENT

import command_line
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress.policy.policy import SINGLE_KEY
from policypress.study.export_agent import export_agent


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("name", FEED_FORWARD)
@pytest.mark.parametrize("recipe", ["none", "equalize > int8"])
def test_it_is_written(robots: Path, tmp_path: Path, name: str, recipe: str) -> None:
    path = robots / name
    policy = agent_in_environment(path, needs_environment=False).policy
    width = policy.inputs[SINGLE_KEY].shape
    seen = np.random.default_rng(0).normal(size=(256, *width)).astype(np.float32)
    np.savez(tmp_path / "seen.npz", observations=seen)
    exported = export_agent(path, tmp_path / "small.onnx", recipe, observations=tmp_path / "seen.npz")
    assert 0 < exported.parity.of_allowed < 1
    assert (tmp_path / "small.onnx").is_file()
    assert exported.record.packed_bytes < path.stat().st_size * (1.1 if recipe == "none" else 0.4) + 12_000


@pytest.mark.shared
@pytest.mark.parametrize("name", RECURRENT)
def test_memory_is_read(robots: Path, name: str) -> None:
    policy = agent_in_environment(robots / name, needs_environment=False).policy
    assert ", ".join(map(repr, policy.state_names)) == RECURRENT[name]


@pytest.mark.shared
@pytest.mark.slow
def test_a_short_search_of_a_walking_robot_ends_with_an_artifact(robots: Path, tmp_path: Path) -> None:
    """Too short to certify much: it ends in time, plays in the user's environment, and reports."""
    out = tmp_path / "out"
    done = command_line.run(
        *("compress", robots / "playground_go1" / "go1_policy.onnx", "--env", "go1_env:Go1Walk-v0"),
        *("--budget-minutes", "1", "--training-free", "--jobs", "1", "--no-costs", "-o", out),
        cwd=robots / "playground_go1",
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((out / "results.json").read_text())
    assert results["environment"]["id"] == "go1_env:Go1Walk-v0"
    assert np.mean(results["baseline"]["returns"]) > 600
    assert (out / "report.html").is_file()
