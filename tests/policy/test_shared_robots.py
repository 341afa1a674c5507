"""Real robots' ONNX files: read, translated and equal to ONNX Runtime; or called recurrent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from robot_files import FEED_FORWARD, RECURRENT

from policypress.agents.bundle import OnnxNetwork
from policypress.agents.onnx_reading.file import read_onnx
from policypress.policy.importers.from_agent import policy_from_agent
from policypress_runtime.contract import Box


@pytest.mark.shared
@pytest.mark.parametrize("name", FEED_FORWARD)
def test_a_robots_policy_is_the_one_in_the_file(robots: Path, name: str) -> None:
    bundle = read_onnx(robots / name)
    assert isinstance(bundle.observation_space, Box)
    assert isinstance(bundle.network, OnnxNetwork)
    assert bundle.network.action in ("actions", "continuous_actions")
    policy = policy_from_agent(bundle)
    session = ort.InferenceSession(str(robots / name), providers=["CPUExecutionProvider"])
    rows = np.random.default_rng(0).normal(size=(64, *bundle.observation_space.shape)).astype(np.float32)
    given = session.get_inputs()[0].name
    expected = np.concatenate([session.run([bundle.network.action], {given: row[None]})[0] for row in rows])
    pairs = [(rows, expected)]
    check = (robots / name).with_suffix(".check.npz")
    if check.is_file():
        with np.load(check) as stored:
            pairs.append((stored["x"].astype(np.float32), stored["y"]))
    for observations, actions in pairs:
        with torch.no_grad():
            got = policy(torch.from_numpy(observations)).numpy()
        # Two float32 evaluations; the robots' actions reach a few tens.
        assert np.allclose(got, actions, rtol=1e-5, atol=1e-5 * (1 + np.abs(actions).max()))


@pytest.mark.shared
@pytest.mark.parametrize("name", RECURRENT)
def test_a_robots_memory_is_told(robots: Path, name: str) -> None:
    first, _, _ = RECURRENT[name].partition(",")
    assert any(f"has a memory: {first}" in notice for notice in read_onnx(robots / name).notices)
