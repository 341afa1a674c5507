"""The example of an agent in ONNX runs in the process of the tests."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_the_example_translates_a_foreign_file(tmp_path: Path) -> None:
    policy = runpy.run_path(str(EXAMPLES / "onnx_agent.py"))["main"](tmp_path)
    observation = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    expected = ort.InferenceSession(str(tmp_path / "foreign.onnx")).run(["actions"], {"obs": observation})[0]
    with torch.no_grad():
        assert np.allclose(policy(torch.from_numpy(observation)).numpy(), expected, atol=1e-5)
