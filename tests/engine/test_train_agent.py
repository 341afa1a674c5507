"""Training from Python gives what the other public functions take."""

from __future__ import annotations

from pathlib import Path

import pytest

import policypress
from policypress.engine.train_agent import train
from policypress_runtime.errors import InputError, OutputError

SHORT = [("learning_starts", 20), ("buffer_size", 100)]


def test_what_was_trained_is_evaluated_and_exported(tmp_path: Path) -> None:
    assert policypress.train is train
    agent = train("dqn", "CartPole-v1", tmp_path / "small.zip", steps=60, overrides=SHORT)
    assert agent == tmp_path / "small.zip"
    assert (tmp_path / "small" / "training.json").is_file()
    policypress.export_agent(agent, tmp_path / "small.onnx")
    assert policypress.load_artifact(tmp_path / "small.onnx").act([0.0] * 4) in (0, 1)
    assert len(policypress.evaluate(agent, episodes=2, runtime="onnxruntime").episodes) == 2


def test_what_cannot_be_trained_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        policypress.train("sac", "CartPole-v1", tmp_path / "none.zip", steps=60)
    assert list(tmp_path.iterdir()) == []


def test_an_ending_that_cannot_be_written_is_said_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="suffix"):
        policypress.export_agent(tmp_path / "missing.zip", tmp_path / "policy.bin")
