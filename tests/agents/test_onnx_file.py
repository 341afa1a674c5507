"""ONNX files as agents: ours by their contract, others by their inputs and outputs."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from policypress.agents.bundle import Activation, OnnxNetwork
from policypress.agents.onnx_reading.file import read_onnx
from policypress.agents.overrides import Overrides
from policypress_runtime.contract import METADATA_KEY, Box, Contract, DictSpace, Discrete, EnvironmentSpec
from policypress_runtime.errors import (
    AgentError,
    DamagedAgentError,
    UndeterminedAgentError,
    UnsupportedAgentError,
)


def linear(
    shape: list[Any] | None = None, *, out: int = TensorProto.FLOAT, weights: np.ndarray | None = None
) -> onnx.ModelProto:
    """``obs @ W`` with 4 inputs and 2 outputs; ``out`` of integers takes the argmax."""
    matrix = np.ones((4, 2), np.float32) if weights is None else weights
    nodes = [helper.make_node("MatMul", ["obs", "w"], ["y" if out == TensorProto.FLOAT else "scores"])]
    result: list[Any] = ["batch", 2]
    if out == TensorProto.INT64:
        nodes.append(helper.make_node("ArgMax", ["scores"], ["y"], axis=1, keepdims=0))
        result = ["batch"]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("obs", TensorProto.FLOAT, ["batch", 4] if shape is None else shape)],
        [helper.make_tensor_value_info("y", out, result)],
        [numpy_helper.from_array(matrix, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def written(path: Path, model: onnx.ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


FREE = ((-math.inf,), (math.inf,))


@pytest.mark.parametrize("batch", ["batch", 1])
def test_spaces_from_inputs_and_outputs(tmp_path: Path, batch: Any) -> None:
    path = written(tmp_path / "a.onnx", linear([batch, 4]))
    bundle = read_onnx(path)
    assert bundle.algorithm == "onnx"
    assert bundle.observation_space == Box((4,), "float32", *FREE)
    assert bundle.action_space == Box((2,), "float32", *FREE)
    assert [notice.split(" of the ONNX")[0] for notice in bundle.notices[1:2]] == ["The output 'y'"]
    assert "without bounds" in bundle.notices[2]
    assert "--actions 2" in bundle.notices[2]
    assert isinstance(bundle.network, OnnxNetwork)
    assert bundle.network.model == path.read_bytes()


def test_discrete_output_needs_the_environment(tmp_path: Path) -> None:
    path = written(tmp_path / "a.onnx", linear(out=TensorProto.INT64))
    with pytest.raises(UndeterminedAgentError, match="--env"):
        read_onnx(path)
    assert read_onnx(path, overrides=Overrides(action_space=Discrete(2))).action_space == Discrete(2)


def test_free_dimensions_need_the_environment(tmp_path: Path) -> None:
    path = written(tmp_path / "a.onnx", linear(["batch", "n"]))
    with pytest.raises(UndeterminedAgentError, match="--env"):
        read_onnx(path)
    space = Box((4,), "float32", (-1.0,), (1.0,))
    assert read_onnx(path, overrides=Overrides(observation_space=space)).observation_space == space


def test_several_inputs_become_keys(tmp_path: Path) -> None:
    model = linear()
    model.graph.input.append(helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 3, 8, 8]))
    space = read_onnx(written(tmp_path / "a.onnx", model)).observation_space
    assert space == Box((4,), "float32", *FREE), "the action does not need the image"
    model.graph.node[0].input[0] = "both"
    model.graph.node.insert(0, helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=0))
    model.graph.node.insert(1, helper.make_node("Unsqueeze", ["mean", "one"], ["column"]))
    model.graph.node.insert(2, helper.make_node("Add", ["obs", "column"], ["both"]))
    model.graph.initializer.append(numpy_helper.from_array(np.int64([1]), "one"))
    model.graph.input[1].type.tensor_type.elem_type = TensorProto.FLOAT
    space = read_onnx(written(tmp_path / "a.onnx", model)).observation_space
    assert space == DictSpace((("obs", Box((4,), "float32", *FREE)), ("image", Box((3, 8, 8), "float32", *FREE))))


def contract() -> Contract:
    return Contract(
        algorithm="sac",
        observation_space=Box((4,), "float64", (-1.0,), (1.0,)),
        action_space=Box((2,), "float32", (-2.0,), (2.0,)),
        inputs=(),
        outputs=(),
        folded=("squash",),
        recipe="int8",
        recipe_hash="0",
        environment=EnvironmentSpec("Hopper-v4"),
        caller_supplies=("time_feature",),
    )


def test_own_artifact_is_read_by_its_contract(tmp_path: Path) -> None:
    model = linear()
    helper.set_model_props(model, {METADATA_KEY: json.dumps(contract().to_json())})
    bundle = read_onnx(written(tmp_path / "a.onnx", model))
    assert bundle.observation_space == contract().observation_space
    assert bundle.action_space == contract().action_space
    assert bundle.environment == contract().environment
    assert bundle.caller_supplies == ("time_feature",)
    assert bundle.notices == ()


USELESS = [Overrides(activation=Activation("tanh")), Overrides(cnn_strides=(4, 2))]
SAID_BY_OURS = [
    Overrides(output_name="y"),
    Overrides(discrete_actions=2),
    Overrides(scale_actions=True),
]


@pytest.mark.parametrize("stated", [*USELESS, *SAID_BY_OURS])
def test_what_changes_nothing_is_refused(stated: Overrides, tmp_path: Path) -> None:
    model = linear()
    foreign = written(tmp_path / "foreign.onnx", model)
    helper.set_model_props(model, {METADATA_KEY: json.dumps(contract().to_json())})
    ours = written(tmp_path / "ours.onnx", model)
    for path in (ours, foreign) if stated in USELESS else (ours,):
        with pytest.raises(AgentError, match="Leave the option out") as refused:
            read_onnx(path, overrides=stated)
        assert (refused.value.got or "").startswith("--")
        read_onnx(path)


@pytest.mark.parametrize("normalizer", ["none", "there.pkl"])
def test_an_artifact_that_normalises_takes_no_word_on_it(normalizer: str, tmp_path: Path) -> None:
    model = linear()
    folds = replace(contract(), folded=("normalise", "squash"))
    helper.set_model_props(model, {METADATA_KEY: json.dumps(folds.to_json())})
    with pytest.raises(AgentError, match="normalises its observations itself"):
        read_onnx(written(tmp_path / "a.onnx", model), overrides=Overrides(normalizer=normalizer))


@pytest.mark.parametrize("stored", ["", "{", "[]", "3", "null", "{}", '{"schema": 99}', '{"schema": 1}'])
def test_contract_that_cannot_be_read(tmp_path: Path, stored: str) -> None:
    model = linear()
    helper.set_model_props(model, {METADATA_KEY: stored})
    with pytest.raises(DamagedAgentError, match="contract"):
        read_onnx(written(tmp_path / "a.onnx", model))


@pytest.mark.parametrize("field", ["observation_space", "action_space", "environment", "inputs"])
@pytest.mark.parametrize("value", [3, "x", [1], {"kind": "box"}, {"kind": 4}])
def test_contract_with_a_field_of_another_form(tmp_path: Path, field: str, value: Any) -> None:
    model = linear()
    helper.set_model_props(model, {METADATA_KEY: json.dumps({**contract().to_json(), field: value})})
    with pytest.raises(DamagedAgentError, match="contract"):
        read_onnx(written(tmp_path / "a.onnx", model))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite(tmp_path: Path, bad: float) -> None:
    with pytest.raises(DamagedAgentError, match="not finite"):
        read_onnx(written(tmp_path / "a.onnx", linear(weights=np.full((4, 2), bad, np.float32))))


def test_model_that_the_checker_refuses(tmp_path: Path) -> None:
    model = linear()
    model.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(DamagedAgentError, match="not a valid ONNX"):
        read_onnx(written(tmp_path / "a.onnx", model))


def test_inputs_and_outputs_of_other_kinds(tmp_path: Path) -> None:
    model = linear()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    with pytest.raises(UnsupportedAgentError, match="STRING"):
        read_onnx(written(tmp_path / "a.onnx", model))


MODEL = linear().SerializeToString()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    length=st.integers(0, len(MODEL) - 1),
    flips=st.lists(st.tuples(st.integers(0, len(MODEL) - 1), st.integers(1, 255)), max_size=3),
)
def test_damage(tmp_path: Path, length: int, flips: list[tuple[int, int]]) -> None:
    content = bytearray(MODEL)
    for position, mask in flips:
        content[position] ^= mask
    for damaged in (bytes(content), MODEL[:length]):
        path = tmp_path / "a.onnx"
        path.write_bytes(damaged)
        try:
            bundle = read_onnx(path)
        except AgentError:
            continue
        assert isinstance(bundle.network, OnnxNetwork)
