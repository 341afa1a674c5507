"""Small ONNX models by hand, and running them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper

from policypress.agents.bundle import AgentBundle, Normaliser, OnnxNetwork, Provenance
from policypress.policy.policy import Policy
from policypress.policy.self_check import sample_observations
from policypress_runtime.contract import Space, box

TOLERANCE = 1e-5
VECTOR = box((6,), "float32", -np.inf, np.inf)
ANY_ACTION = box((4,), "float32", -np.inf, np.inf)
RANDOM = np.random.default_rng(0)
W, B = RANDOM.normal(size=(6, 4)).astype(np.float32), RANDOM.normal(size=4).astype(np.float32)


def bundle_of(
    model: onnx.ModelProto | bytes,
    observations: Space,
    actions: Space,
    normaliser: Mapping[str, Normaliser] | None = None,
) -> AgentBundle:
    content = model if isinstance(model, bytes) else model.SerializeToString()
    provenance = Provenance("network.onnx", "0" * 64)
    return AgentBundle(OnnxNetwork(content), observations, actions, provenance, normaliser=normaliser or {})


def model_of(
    nodes: list[onnx.NodeProto],
    constants: Mapping[str, Any] | None = None,
    *,
    shape: tuple[int | str, ...] = ("n", 6),
    dtype: int = TensorProto.FLOAT,
    outputs: tuple[str, ...] = ("y",),
    output_type: int = TensorProto.FLOAT,
    output_rank: int = 2,
    opset: int = 17,
) -> onnx.ModelProto:
    given = {"w": W, "b": B, **(constants or {})}
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("obs", dtype, shape)],
        [helper.make_tensor_value_info(name, output_type, list("nabcd")[:output_rank]) for name in outputs],
        [numpy_helper.from_array(np.array(v), name) for name, v in given.items() if name in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(kind, names, outputs.split(), name="_".join(["the", kind, *outputs.split()]), **attributes)


GEMM = node("Gemm", "obs w b", "h")


def observe(space: Space, rows: int = 4) -> dict[str, np.ndarray[Any, Any]]:
    return sample_observations(space, rows, {}, seed=7)


def run_policy(policy: Policy, observations: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    tensors = {key: torch.from_numpy(np.array(values)) for key, values in observations.items()}
    with torch.no_grad():
        result: np.ndarray[Any, Any] = policy(tensors.get("", tensors)).numpy()
    return result


def run_file(model: onnx.ModelProto, observation: Any, output: str) -> np.ndarray[Any, Any]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: np.ndarray[Any, Any] = session.run([output], {session.get_inputs()[0].name: observation})[0]
    return result


def kinds(policy: Policy) -> list[str]:
    return [type(policy.layers[node.name]).__name__ for node in policy.nodes]


def names(policy: Policy) -> list[str]:
    return [getattr(policy.layers[n.name], "name", type(policy.layers[n.name]).__name__) for n in policy.nodes]
