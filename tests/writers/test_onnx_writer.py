"""Whole policies as ONNX: the same actions in three evaluations, a contract inside, standard operators only."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from small_policies import ACTIONS, KINDS, MIXED, VECTOR, cnn, mixed, mlp, observations_of, quantized, tensors_of

from policypress.policy.policy import GraphBuilder, Policy
from policypress.writers.onnx_writer import contract_of, embed_contract, outputs_of, to_onnx
from policypress_runtime.contract import METADATA_KEY, Contract, DictSpace, EnvironmentSpec, TensorSpec, WrapperSpec
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime


def artifact_of(policy: Policy) -> tuple[onnx.ModelProto, OnnxRuntime]:
    model = to_onnx(policy)
    embed_contract(model, contract_of(policy, "none", "hash", "fp32", "0"))
    onnx.checker.check_model(model, full_check=True)
    return model, OnnxRuntime(model.SerializeToString())


def feeds_of(policy: Policy, observations: Any) -> dict[str, Any]:
    keyed = observations if isinstance(observations, dict) else {"": observations}
    return {spec.name: np.asarray(keyed[key], spec.dtype) for key, spec in policy.inputs.items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("form", ["fp32", "int8", "int4", "outputs", "weights", "activations"])
def test_policy_reference_and_runtime_agree(kind: str, action: str, form: str) -> None:
    plain = KINDS[kind](ACTIONS[action], activation="tanh" if form == "fp32" else "relu")
    observations = observations_of(plain.observation_space, 60)
    policy = {
        "fp32": lambda: plain,
        "int8": lambda: quantized(plain, observations),
        "int4": lambda: quantized(plain, observations, 4),
        "outputs": lambda: quantized(plain, observations, outputs=True),
        "weights": lambda: quantized(plain, observations, activations=False),
        "activations": lambda: quantized(plain, observations, weights=False),
    }[form]()
    model, runtime = artifact_of(policy)
    with torch.no_grad():
        want = policy.clone().double().scores(tensors_of(observations)).numpy()
    name = "scores" if policy.scores_node else "action"
    span = want.max() - want.min()
    reference = ReferenceEvaluator(model).run([name], feeds_of(policy, observations))[0]
    for got in (reference, runtime.run_batch(observations)[name]):
        assert got.shape == want.shape
        close = np.abs(got - want) <= 1e-4 * span
        assert close.mean() > (0.9 if policy.quantized else 0.9999)
        assert np.abs(got - want).max() <= 0.3 * span


@pytest.mark.parametrize("kind", KINDS)
def test_form_of_the_file(kind: str) -> None:
    policy = quantized(KINDS[kind](), observations_of(KINDS[kind]().observation_space))
    model, _ = artifact_of(policy)
    assert model.ir_version <= 9
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 19)]
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.functions
    assert [i.name for i in model.graph.input] == [spec.name for spec in policy.inputs.values()]
    for value in (*model.graph.input, *model.graph.output):
        axes = value.type.tensor_type.shape.dim
        assert axes[0].dim_param == "batch"
        assert all(axis.HasField("dim_value") for axis in axes[1:])
    assert len({node.name for node in model.graph.node}) == len(model.graph.node)


@pytest.mark.parametrize("kind", KINDS)
def test_batch_is_free_and_rows_do_not_mix(kind: str) -> None:
    policy = KINDS[kind]()
    _, runtime = artifact_of(policy)
    observations = observations_of(policy.observation_space, 33)
    whole = runtime.act_batch(observations)
    for rows in (slice(0, 1), slice(5, 12)):
        part = {k: v[rows] for k, v in observations.items()} if isinstance(observations, dict) else observations[rows]
        np.testing.assert_allclose(runtime.act_batch(part), whole[rows], rtol=1e-5, atol=1e-6)


def test_transposed_image_is_in_the_graph() -> None:
    inside, outside = cnn(transposed=True), cnn()
    images = observations_of(inside.observation_space, 6)
    _, runtime = artifact_of(inside)
    _, plain = artifact_of(outside)
    moved = np.ascontiguousarray(np.moveaxis(images, -1, 1))
    np.testing.assert_allclose(runtime.act_batch(images), plain.act_batch(moved), atol=1e-6)
    assert runtime.contract.folded == ("transpose_image", "scale_image", "squash", "unscale")


@pytest.mark.parametrize(
    ("action", "outputs"),
    [
        ("box", [("action", "float32", (3,))]),
        ("discrete", [("action", "int64", ()), ("scores", "float32", (4,))]),
        ("multi_discrete", [("action", "int64", (3,)), ("scores", "float32", (6,))]),
        ("multi_binary", [("action", "int8", (3,)), ("scores", "float32", (3,))]),
    ],
)
def test_outputs(action: str, outputs: list[tuple[str, str, tuple[int, ...]]]) -> None:
    assert outputs_of(mlp(ACTIONS[action])) == tuple(TensorSpec(*o) for o in outputs)


def test_a_dict_is_no_action_space() -> None:
    policy = mlp()
    policy.action_space = DictSpace(())
    with pytest.raises(TypeError, match="action space"):
        outputs_of(policy)


def test_contract_survives_in_the_metadata() -> None:
    environment = EnvironmentSpec("Car-v3", (("gravity", -9.8),), (WrapperSpec("TimeFeature", (("a", 1),)),), "Car-v2")
    policy = mixed(algorithm="sac", environment=environment, caller_supplies=("time",), sha256="ab" * 32)
    model = to_onnx(policy)
    contract = contract_of(policy, "equalize > int8", "1234", "int8", "0.1.0")
    embed_contract(model, contract)
    again = onnx.load_from_string(model.SerializeToString())
    assert Contract.from_json(json.loads(again.metadata_props[0].value)) == contract
    runtime = OnnxRuntime(model.SerializeToString())
    assert runtime.contract == contract
    assert contract.observation_space == MIXED
    assert contract.environment == environment
    assert contract.inputs[0] == TensorSpec("observation.camera", "uint8", (2, 12, 10))


def test_embedding_again_replaces_and_keeps_what_others_wrote() -> None:
    policy = mlp()
    model = to_onnx(policy)
    other = model.metadata_props.add()
    other.key, other.value = "author", "somebody"
    contract = contract_of(policy, "none", "", "fp32", "0")
    embed_contract(model, contract)
    embed_contract(model, replace(contract, recipe="int8"))
    props = {p.key: p.value for p in model.metadata_props}
    assert len(model.metadata_props) == 2
    assert props["author"] == "somebody"
    assert json.loads(props[METADATA_KEY])["recipe"] == "int8"


def test_the_same_policy_gives_the_same_file() -> None:
    for kind in KINDS:
        assert to_onnx(KINDS[kind]()).SerializeToString() == to_onnx(KINDS[kind]()).SerializeToString()


def test_an_observation_that_is_the_action() -> None:
    """A graph whose last layer reads the input directly."""
    from policypress.policy.layers import Clip

    graph = GraphBuilder()
    graph.add("clip", Clip(-1.0, 1.0), "observation")
    policy = graph.policy(VECTOR, VECTOR, None)
    _, runtime = artifact_of(policy)
    assert runtime.act(np.array([5, -5, 0.5, 0, 1], np.float32)).tolist() == [1, -1, 0.5, 0, 1]
