"""The example of a network of one's own runs in the process of the tests."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from policypress import load_artifact
from policypress.engine.store.reader import StoreReader

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_the_example_presses_its_own_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = runpy.run_path(str(EXAMPLES / "own_network.py"))
    policy = example["main"](tmp_path)
    assert "equalize > int8" in capsys.readouterr().out
    observation = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = example["CartPoleController"]()(observation)
    assert torch.allclose(policy.scores(observation), expected, atol=1e-6)
    artifacts = sorted(tmp_path.rglob("*.onnx"))
    assert artifacts
    assert load_artifact(artifacts[0]).act(np.zeros(4, np.float32)) in (0, 1)
    with StoreReader(tmp_path / "study.db") as reader:
        assert [row.cell.kind for row in reader.cells("done")] == ["random", "baseline", "variant", "cost", "cost"]
        best = {
            max(e.episode_return for e in reader.episodes(row.key))
            for row in reader.cells("done")
            if row.cell.protocol.episodes
        }
    assert 500.0 in best
