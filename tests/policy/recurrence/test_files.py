"""ONNX files with memory, against ONNX Runtime over whole episodes: its operators, names, and places of the batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from policypress.agents.loading import load_agent
from policypress.measurement.evaluation import model_of, runtime_of
from policypress.policy.importers.from_agent import policy_from_agent
from policypress.policy.policy import Policy
from policypress_runtime.errors import NetworkError, UnsupportedAgentError

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
IN, H = 5, 6


def weights(kind: str, seed: int = 0) -> list[onnx.TensorProto]:
    random, rows = np.random.default_rng(seed), GATES[kind] * H
    shapes = {"W": (1, rows, IN), "R": (1, rows, H), "B": (1, 2 * rows), "mu": (H, 2)}
    return [numpy_helper.from_array(random.normal(size=s).astype(np.float32) * 0.5, n) for n, s in shapes.items()]


def file(
    kind: str, batch: int | str = "batch", names: tuple[str, str] = ("h_in", "h_out"), **attributes: Any
) -> onnx.ModelProto:
    """obs → Unsqueeze → the operator → Squeeze, Squeeze → MatMul → actions, with the state beside it."""
    states = [names, ("c_in", "c_out")][: 2 if kind == "LSTM" else 1]
    axes = [numpy_helper.from_array(np.array([axis], np.int64), f"axis{axis}") for axis in (0, 1)]
    taken, given = [name for name, _ in states], [name for _, name in states]
    nodes = [
        helper.make_node("Unsqueeze", ["obs", "axis0"], ["sequence"]),
        helper.make_node(kind, ["sequence", "W", "R", "B", "", *taken], ["y", *given], hidden_size=H, **attributes),
        helper.make_node("Squeeze", ["y", "axis1"], ["y3"]),
        helper.make_node("Squeeze", ["y3", "axis0"], ["top"]),
        helper.make_node("MatMul", ["top", "mu"], ["actions"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [value("obs", TensorProto.FLOAT, [batch, IN]), *(value(n, TensorProto.FLOAT, [1, batch, H]) for n in taken)],
        [value("actions", TensorProto.FLOAT, [batch, 2]), *(value(n, TensorProto.FLOAT, [1, batch, H]) for n in given)],
        [*weights(kind), *axes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def read(model: onnx.ModelProto, folder: Path) -> Policy:
    path = folder / "policy.onnx"
    path.write_bytes(model.SerializeToString())
    return policy_from_agent(load_agent(path))


def follow(model: onnx.ModelProto, policy: Policy) -> None:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    taken = [value.name for value in session.get_inputs()][1:]
    given = {name: np.zeros((1, 1, H), np.float32) for name in taken}
    runtime = runtime_of(policy)
    for observation in np.random.default_rng(1).normal(size=(60, IN)).astype(np.float32):
        want, *after = session.run(None, {"obs": observation[None], **given})
        given = dict(zip(taken, after, strict=True))
        np.testing.assert_allclose(runtime.act(observation), want[0], rtol=1e-5, atol=1e-5)


CASES: list[tuple[str, dict[str, Any]]] = [
    ("LSTM", {}),
    ("GRU", {"linear_before_reset": 1}),
    ("GRU", {}),
    ("RNN", {}),
    ("RNN", {"activations": ["Relu"]}),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("batch", [1, "batch"])
def test_an_operator_is_that_of_onnx_runtime(
    case: tuple[str, dict[str, Any]], batch: int | str, tmp_path: Path
) -> None:
    model = file(case[0], batch, **case[1])
    policy = read(model, tmp_path)
    assert [s.spec.shape for s in policy.states] == [(1, H)] * len(policy.states)
    follow(model, policy)


def test_names_are_kept_and_read_again(tmp_path: Path) -> None:
    policy = read(file("GRU", names=("state_ins", "state_outs"), linear_before_reset=1), tmp_path)
    written = onnx.load_from_string(model_of(policy))
    assert [value.name for value in written.graph.input] == ["observation", "state_ins"]
    assert [value.name for value in written.graph.output] == ["action", "state_outs"]
    (tmp_path / "artifact").mkdir()
    again = read(written, tmp_path / "artifact")
    assert [s.spec for s in again.states] == [s.spec for s in policy.states]
    state = policy.initial_state(4)
    for _ in range(10):
        x = torch.randn(4, IN)
        with torch.no_grad():
            want, after = policy.step(x, state)
            got, same = again.step(x, state)
        torch.testing.assert_close(got, want)
        torch.testing.assert_close(same, after)
        state = after


@pytest.mark.parametrize(
    ("kind", "attributes", "words"),
    [
        ("LSTM", {"direction": "reverse"}, "reverse"),
        ("LSTM", {"activations": ["Sigmoid", "Relu", "Tanh"]}, "activations"),
        ("LSTM", {"clip": 3.0}, "clipped"),
        ("LSTM", {"input_forget": 1}, "input_forget"),
        ("GRU", {"activations": ["HardSigmoid", "Tanh"]}, "activations"),
        ("RNN", {"activations": ["Softsign"]}, "activation"),
    ],
)
def test_what_is_not_supported_is_named(kind: str, attributes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=words):
        read(file(kind, **attributes), tmp_path)


def test_an_operator_without_its_state_is_refused(tmp_path: Path) -> None:
    model = file("GRU")
    model.graph.node[1].input[5] = ""
    del model.graph.input[1]
    with pytest.raises(UnsupportedAgentError, match=r"(?s)not among its inputs.*input_names"):
        read(model, tmp_path)


def test_states_beside_the_observation_without_a_recurrent_operator(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    mu = numpy_helper.from_array(np.random.default_rng(0).normal(size=(IN, IN)).astype(np.float32) * 0.3, "mu")
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["memory_in", "mu"], ["kept"]),
            helper.make_node("Add", ["kept", "obs"], ["sum"]),
            helper.make_node("Tanh", ["sum"], ["memory_out"]),
            helper.make_node("MatMul", ["memory_out", "mu"], ["actions"]),
        ],
        "g",
        [value(name, TensorProto.FLOAT, ["n", IN]) for name in ("obs", "memory_in")],
        [value(name, TensorProto.FLOAT, ["n", IN]) for name in ("actions", "memory_out")],
        [mu],
    )
    policy = read(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path)
    assert [(s.spec.name, s.spec.shape) for s in policy.states] == [("memory_in", (IN,))]
    action, _ = policy.step(torch.zeros(1, IN), {"memory_in": torch.ones(1, IN)})
    assert bool(action.abs().max() > 0)


@pytest.mark.shared
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_exports_of_rsl_rl(kind: str, robots: Path) -> None:
    folder = robots / "made_here" / f"rsl_rl_5.5.1_{kind}"
    check = np.load(folder / "policy.check.npz")
    runtime = runtime_of(policy_from_agent(load_agent(folder / "policy.onnx")))
    got = np.stack([runtime.act(row) for row in check["x"]])
    np.testing.assert_array_less(np.abs(got - check["y"]), 1e-5)
