"""Publishing: proven first, then whole on disk or not there at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from small_policies import ACTIONS, KINDS, mlp, observations_of, quantized

from policypress.export.publish import ProvenArtifact, prove, publish, sidecar_bytes, sidecar_name
from policypress.policy.policy import Policy
from policypress.writers.onnx_writer import contract_of, to_onnx
from policypress_runtime.contract import Contract
from policypress_runtime.errors import OutputError, ParityError
from policypress_runtime.runtimes.loading import load_artifact


def proven(policy: Policy) -> ProvenArtifact:
    precision = "int8" if policy.quantized else "fp32"
    contract = contract_of(policy, "none", "hash", precision, "0")
    return prove(to_onnx(policy), contract, policy, observations_of(policy.observation_space))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pressed", [False, True])
def test_artifact_and_sidecar(kind: str, pressed: bool, tmp_path: Path) -> None:
    policy = KINDS[kind](ACTIONS["discrete"])
    if pressed:
        policy = quantized(policy, observations_of(policy.observation_space))
    artifact = proven(policy)
    path = tmp_path / "new" / "folder" / "policy.onnx"
    publish(artifact, path)
    assert sorted(p.name for p in path.parent.iterdir()) == ["policy.onnx", "policy.onnx.json"]
    assert path.read_bytes() == artifact.model
    beside = json.loads(path.with_name("policy.onnx.json").read_text())
    assert beside.pop("sha256") == artifact.sha256
    assert Contract.from_json(beside) == artifact.contract == load_artifact(path).contract
    assert path.stat().st_mode & 0o777 == 0o644


def test_an_unproven_file_is_never_there(tmp_path: Path) -> None:
    policy = mlp()
    model = to_onnx(policy)
    weight = next(t for t in model.graph.initializer if t.name == "hidden.weight")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.1), "hidden.weight"))
    with pytest.raises(ParityError):
        publish(
            prove(
                model, contract_of(policy, "none", "", "fp32", "0"), policy, observations_of(policy.observation_space)
            ),
            tmp_path / "policy.onnx",
        )
    assert not list(tmp_path.iterdir())


def test_a_number_that_no_observation_shows_is_compared_as_it_is_written() -> None:
    policy = mlp()
    with torch.no_grad():
        policy.layers["hidden"].bias[0] = -1e4  # silent on every observation
    model = to_onnx(policy)
    weight = next(t for t in model.graph.initializer if t.name == "hidden.weight")
    values = numpy_helper.to_array(weight).copy()
    values[0, 0] *= np.float32(1.5)
    weight.CopyFrom(numpy_helper.from_array(values, "hidden.weight"))
    with pytest.raises(ParityError, match=r"hidden\.weight"):
        prove(model, contract_of(policy, "none", "", "fp32", "0"), policy, observations_of(policy.observation_space))


def test_a_model_that_is_not_onnx_is_refused() -> None:
    policy = mlp()
    model = to_onnx(policy)
    model.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(onnx.checker.ValidationError):
        prove(model, contract_of(policy, "none", "", "fp32", "0"), policy, observations_of(policy.observation_space))


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError):
        publish(proven(mlp()), tmp_path / "file" / "policy.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_publishing_again_replaces(tmp_path: Path) -> None:
    path = tmp_path / "policy.onnx"
    first, second = proven(mlp()), proven(mlp(ACTIONS["discrete"]))
    publish(first, path)
    publish(second, path)
    assert path.read_bytes() == second.model
    assert json.loads((tmp_path / sidecar_name(path.name)).read_text())["sha256"] == second.sha256
    assert len(list(tmp_path.iterdir())) == 2


def test_sidecar_is_stable() -> None:
    artifact = proven(mlp())
    assert sidecar_bytes(artifact) == sidecar_bytes(proven(mlp()))
    assert sidecar_bytes(artifact).endswith(b"}\n")
