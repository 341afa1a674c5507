"""LiteRT files are proven under LiteRT before they are written, and have their contract beside them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from command_line import run
from policypress.export import lite_file
from policypress.export.lite_file import publish_tflite
from policypress.export.publish import prove
from policypress.writers.onnx_writer import contract_of, to_onnx
from policypress_runtime.contract import Contract
from policypress_runtime.errors import ParityError

pytest.importorskip("ai_edge_litert")
from small_policies import mlp, observations_of, quantized


def test_a_quantized_artifact_becomes_a_file_of_fixed_shapes(own_agents: Path, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    artifact, output = tmp_path / "cart.onnx", tmp_path / "cart.tflite"
    for source, to in ((own_agents / "dqn-CartPole-v1.zip", artifact), (artifact, output)):
        more = ("--recipe", "equalize > int8") if to is artifact else ()
        done = run("export", source, "-o", to, *more)
        assert done.returncode == 0, done.stderr
    content = output.read_bytes()
    said = json.loads((tmp_path / "cart.tflite.json").read_text())
    assert said["sha256"] == hashlib.sha256(content).hexdigest()
    assert Contract.from_json(said).recipe == "equalize > int8"
    engine = Interpreter(model_content=content)
    details = engine.get_input_details()[0]
    assert details["shape_signature"].tolist() == [1, 4]
    assert any(detail["dtype"] is np.int8 and len(detail["shape"]) == 2 for detail in engine.get_tensor_details())


def test_a_wrong_file_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = mlp()
    observations = observations_of(policy.observation_space, 60)
    small = quantized(policy, observations)
    proven = prove(to_onnx(small), contract_of(small, "int8", "", "int8", "0"), small, observations)
    other = mlp(activation="tanh")
    wrong = prove(to_onnx(other), contract_of(other, "none", "", "fp32", "0"), other, observations)
    true = lite_file.to_tflite
    monkeypatch.setattr(lite_file, "to_tflite", lambda model, static: true(wrong.model, static=static))
    with pytest.raises(ParityError):
        publish_tflite(proven, observations, tmp_path / "policy.tflite")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(lite_file, "to_tflite", true)
    assert publish_tflite(proven, observations, tmp_path / "policy.tflite").of_allowed <= 1
