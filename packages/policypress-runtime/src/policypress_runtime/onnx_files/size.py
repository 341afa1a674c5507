"""What an ONNX graph would grow to, told before anything works on it.

A few hundred bytes can stand for a graph without end: functions that call functions twice, twenty-five times over,
are 2^25 nodes when they are written out, and tensors of zeros may claim any shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import onnx

from policypress_runtime.errors import UnsupportedAgentError

MAX_NODES = 10_000
MAX_SPARSE = 2**24
MAX_DEPTH = 20

_Key = tuple[str, str]


def check_size(model: onnx.ModelProto, label: str) -> None:
    """Refuse a graph of too many nodes, every call of a function written out, or of huge sparse tensors.

    Raises:
        UnsupportedAgentError: it is larger than any policy.
    """
    functions = {(function.domain, function.name): function for function in model.functions}
    known: dict[_Key, int] = {}

    def nodes_in(nodes: Iterable[onnx.NodeProto], depth: int) -> int:
        if depth > MAX_DEPTH:
            raise _too_large(label, f"graphs or functions inside of each other more than {MAX_DEPTH} deep")
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            total += called(key, depth) if key in functions else 1
            total += sum(nodes_in(graph.node, depth + 1) for graph in _graphs(node))
            if total > MAX_NODES:
                raise _too_large(label, f"more than {MAX_NODES} nodes")
        return total

    def called(key: _Key, depth: int) -> int:
        if key not in known:
            known[key] = nodes_in(functions[key].node, depth + 1)
        return known[key]

    nodes_in(model.graph.node, 0)
    for key in functions:
        called(key, 0)
    for sparse in _sparse(model):
        if math.prod(sparse.dims) > MAX_SPARSE:
            raise _too_large(label, f"a sparse tensor of shape {list(sparse.dims)}"[:200])


def _graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _sparse(model: onnx.ModelProto) -> Iterator[onnx.SparseTensorProto]:
    yield from model.graph.sparse_initializer
    for node in (*model.graph.node, *(node for function in model.functions for node in function.node)):
        for attribute in node.attribute:
            if attribute.HasField("sparse_tensor"):
                yield attribute.sparse_tensor
            yield from attribute.sparse_tensors


def _too_large(label: str, got: str) -> UnsupportedAgentError:
    return UnsupportedAgentError(
        f"{label} is too large for a policy.",
        got=got,
        expected=f"at most {MAX_NODES} nodes, with every call of a function written out",
        hint="Export the feed-forward part that computes the action, without custom functions.",
    )
