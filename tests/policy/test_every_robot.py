"""Every real robot's ONNX policy beside the repository: written in fp32 and as int8; memory is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from robot_files import FEED_FORWARD, RECURRENT

from policypress.errors import InputError
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
def test_memory_is_refused_by_name(robots: Path, name: str) -> None:
    with pytest.raises(InputError, match="recurrent"):
        agent_in_environment(robots / name, needs_environment=False)
