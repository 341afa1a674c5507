"""Graphs that stand for more than they say are refused before anything works on them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from policypress_runtime.errors import UnsupportedAgentError
from policypress_runtime.onnx_files.size import MAX_NODES, check_size


def function(name: str, calls: list[str]) -> onnx.FunctionProto:
    names = ["x", *(f"v{i}" for i in range(len(calls) - 1)), "y"]
    nodes = [
        helper.make_node(call, [names[i]], [names[i + 1]], domain="" if call == "Relu" else "f")
        for i, call in enumerate(calls)
    ]
    return helper.make_function("f", name, ["x"], ["y"], nodes, [helper.make_opsetid("", 17)])


def model(kinds: list[str], functions: list[onnx.FunctionProto] | None = None) -> onnx.ModelProto:
    nodes = [
        helper.make_node(kind, [f"v{i}"], [f"v{i + 1}"], domain="" if kind == "Relu" else "f")
        for i, kind in enumerate(kinds)
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", 4]) for name in ("v0", f"v{len(kinds)}")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
    return helper.make_model(graph, functions=functions or [])


def test_nodes_are_counted() -> None:
    check_size(model(["Relu"] * MAX_NODES), "x")
    with pytest.raises(UnsupportedAgentError, match="more than 10000 nodes"):
        check_size(model(["Relu"] * (MAX_NODES + 1)), "x")


@pytest.mark.timeout(30)
def test_functions_count_as_often_as_they_are_called() -> None:
    doubling = [function("F0", ["Relu"])] + [function(f"F{k}", [f"F{k - 1}"] * 2) for k in range(1, 19)]
    check_size(model(["F9", "Relu"], doubling[:10]), "x")
    for most in ("F14", "F18"):
        with pytest.raises(UnsupportedAgentError, match="nodes"):
            check_size(model([most], doubling), "x")
    wide = [function("F0", ["Relu"] * 1000), function("F1", ["F0"] * 1000)]
    with pytest.raises(UnsupportedAgentError, match="nodes"):
        check_size(model(["F1"], wide), "x")


def test_functions_that_call_themselves() -> None:
    with pytest.raises(UnsupportedAgentError, match="deep"):
        check_size(model(["A"], [function("A", ["A"])]), "x")
    with pytest.raises(UnsupportedAgentError, match="deep"):
        check_size(model(["Relu"], [function("A", ["B"]), function("B", ["A"])]), "x")


def test_sparse_tensors_that_claim_any_shape() -> None:
    sparse = onnx.SparseTensorProto(dims=[2**20, 2**20])
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), "v"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.zeros(1, np.int64), "i"))
    made = model(["Relu"])
    made.graph.node.append(helper.make_node("Constant", [], ["s"], sparse_value=sparse))
    with pytest.raises(UnsupportedAgentError, match="sparse"):
        check_size(made, "x")
