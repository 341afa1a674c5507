"""What ``inspect`` says of a network: how much of a layer is read, and where observations are normalised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from policypress.agents.overrides import Overrides
from policypress.cli.describing.network import layers_in_words, normalisation_in_words
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress.policy.policy import Policy


def read(path: Path, **stated: str) -> Policy:
    return agent_in_environment(path, overrides=Overrides(**stated), needs_environment=False).policy


def network(path: Path, *, mean: object = None, half: bool = False) -> Path:
    """observation → (− mean) → 6 channels → (the first 3) → tanh."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(4, 6)).astype(np.float32)}
    last, nodes = "observation", []
    if mean is not None:
        weights["mean"] = np.asarray(mean, np.float32)
        nodes.append(helper.make_node("Sub", [last, "mean"], ["centred"]))
        last = "centred"
    nodes.append(helper.make_node("MatMul", [last, "w"], ["h"]))
    if half:
        nodes.append(helper.make_node("Split", ["h"], ["location", "scale"], axis=1, num_outputs=2))
    nodes.append(helper.make_node("Tanh", ["location" if half else "h"], ["actions"]))
    graph = helper.make_graph(
        nodes,
        "policy",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["b", 4])],
        [helper.make_tensor_value_info("actions", TensorProto.FLOAT, ["b", 3 if half else 6])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def test_channels_that_nothing_reads_are_told(tmp_path: Path) -> None:
    """The half of Brax's last layer that is a spread, which a deterministic policy leaves out."""
    assert layers_in_words(read(network(tmp_path / "half.onnx", half=True))) == "3 of 6 channels"
    assert layers_in_words(read(network(tmp_path / "whole.onnx"))) == "6 channels"


def test_a_network_that_normalises_says_so(tmp_path: Path) -> None:
    own = read(network(tmp_path / "own.onnx", mean=[1, 2, 3, 4]))
    assert normalisation_in_words(own, stated_none=False).startswith("in the network")


@pytest.mark.parametrize("mean", [None, 0.5])
def test_a_network_that_does_not_is_not_taken_to_have_none(tmp_path: Path, mean: float | None) -> None:
    """One number for all components is how images are scaled, not what VecNormalize does."""
    path = network(tmp_path / "plain.onnx", mean=mean)
    assert "--normalizer FILE" in normalisation_in_words(read(path), stated_none=False)
    assert normalisation_in_words(read(path, normalizer="none"), stated_none=True) == "none"
