"""LiteRT files: the same values as the ONNX file, or a refusal that names the operator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from small_policies import ACTIONS, Policy, cnn, finished, mixed, mlp, observations_of, pictures, quantized

from policypress.policy import layers
from policypress.policy.policy import GraphBuilder
from policypress.writers.onnx_writer import contract_of, embed_contract, to_onnx
from policypress_runtime.contract import Space, box
from policypress_runtime.errors import MissingDependencyError, NetworkError, NoNativeFormError
from policypress_runtime.runtimes.litert_runtime import LiteRtRuntime
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime
from policypress_runtime.tflite.writer import main, to_tflite


def written(policy: Policy) -> bytes:
    model = to_onnx(policy)
    embed_contract(model, contract_of(policy, "none", "", "fp32", "0"))
    content: bytes = model.SerializeToString()
    return content


def images(action: Space) -> Policy:
    """Two convolutions without padding, as the Nature CNN has three; then two dense layers."""
    graph = GraphBuilder()
    value = graph.add("to_float", layers.ToFloat(), "observation")
    value = graph.add("scale", layers.Affine(scale=1 / 255, role="scale_image"), value)
    value = graph.add("conv", layers.Conv2d(3, 4, (3, 4), stride=(2, 1)), value)
    value = graph.add("relu", layers.Activation("relu"), value)
    value = graph.add("conv", layers.Conv2d(4, 5, 2), value)
    value = graph.add("relu", layers.Activation("relu"), value)
    value = graph.add("flatten", layers.Flatten(), value)
    value = graph.add("hidden", layers.Linear(5 * 4 * 6, 8), value)
    value = graph.add("relu", layers.Activation("relu"), value)
    return finished(graph, box((3, 12, 10), "uint8", 0, 255), action, value)


CASES = {
    "relu": lambda: mlp(),
    "tanh": lambda: mlp(activation="tanh"),
    "sigmoid": lambda: mlp(activation="sigmoid"),
    "scores": lambda: mlp(ACTIONS["discrete"]),
    "images": lambda: images(ACTIONS["box"]),
    "images with scores": lambda: images(ACTIONS["discrete"]),
    "a border": lambda: pictures(16),
    "parts": lambda: mixed(),
    "parts with choices": lambda: mixed(ACTIONS["multi_discrete"]),
    "bits": lambda: mlp(ACTIONS["multi_binary"]),
    **{
        name: (lambda name=name: mlp(activation=name))
        for name in ("silu", "gelu", "gelu_tanh", "mish", "elu", "celu", "selu", "softplus", "softsign", "hardswish")
    },
    **{name: (lambda name=name: mlp(activation=name)) for name in ("leaky_relu", "hardsigmoid", "relu6", "hardtanh")},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("integers", [False, True])
def test_the_values_are_those_of_the_onnx_file(case: str, integers: bool) -> None:
    pytest.importorskip("ai_edge_litert")
    policy = CASES[case]()
    observations = observations_of(policy.observation_space, 40)
    content = written(quantized(policy, observations) if integers else policy)
    got, want = LiteRtRuntime(content).run_batch(observations), OnnxRuntime(content).run_batch(observations)
    assert set(got) == set(want)
    for name, value in want.items():
        assert got[name].dtype == value.dtype
    decided = "scores" if "scores" in want else "action"
    span = np.ptp(want[decided], axis=0).max()
    near = np.abs(got[decided] - want[decided]) < 1e-4 * span
    assert near.mean() > 0.95, "all but rounding ties"


@pytest.mark.parametrize(
    ("policy", "said"),
    [(lambda: cnn(), "Conv")],
)
def test_other_networks_are_refused(policy: object, said: str) -> None:
    pytest.importorskip("ai_edge_litert")
    content = written(policy())  # type: ignore[operator]
    with pytest.raises(NetworkError, match=said):
        to_tflite(content)
    with pytest.raises(NoNativeFormError, match=said):
        LiteRtRuntime(content)


def test_an_unknown_operator_is_named() -> None:
    pytest.importorskip("ai_edge_litert")
    model = onnx.load_from_string(written(mlp()))
    model.graph.node[0].CopyFrom(helper.make_node("Acosh", ["observation"], list(model.graph.node[0].output)))
    with pytest.raises(NetworkError, match="Acosh"):
        to_tflite(model.SerializeToString())


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in ("ai_edge_litert", "ai_edge_litert.interpreter", "openvino"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match=r"policypress\[litert\]"):
        to_tflite(written(mlp()))
    with pytest.raises(MissingDependencyError, match=r"policypress\[litert\]"):
        LiteRtRuntime(written(mlp()))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "absent.onnx"), "-o", str(tmp_path / "a.tflite")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    pytest.importorskip("ai_edge_litert")
    (tmp_path / "a.onnx").write_bytes(written(mlp()))
    assert main([str(tmp_path / "a.onnx"), "-o", str(tmp_path / "a.tflite")]) == 0
    assert (tmp_path / "a.tflite").read_bytes()[4:8] == b"TFL3"
