"""The graph builder: names, constants that are stored once, and the nodes a QuantSpec becomes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from onnx import TensorProto, numpy_helper

from policypress.policy.quantization import QuantSpec, affine_spec, bias_spec, quantize, symmetric_spec
from policypress.writers.onnx_graph import IR_VERSION, OPSET, OnnxGraph
from policypress_runtime.errors import NetworkError


def kinds(graph: OnnxGraph) -> list[str]:
    return [node.op_type for node in graph.nodes]


def test_versions_that_old_runtimes_read() -> None:
    """ONNX Runtime 1.17 reads opset 20 and IR 9; opset 19 brought the DequantizeLinear the reference evaluates."""
    assert OPSET <= 19
    assert IR_VERSION <= 9


def test_equal_constants_are_stored_once() -> None:
    graph = OnnxGraph()
    first = graph.constant(np.array([1.0, 2.0], np.float32), "layer.weight")
    assert graph.constant(torch.tensor([1.0, 2.0]), "other.weight") == first
    different = [
        graph.constant(np.array([1.0, 2.0], np.float64), "layer.weight"),
        graph.constant(np.array([[1.0, 2.0]], np.float32), "layer.weight"),
        graph.constant(np.array([1.0, 2.5], np.float32), "layer.weight"),
    ]
    assert len({first, *different}) == 4
    assert set(graph.initializers) == {first, *different}


def test_zero_and_minus_zero_are_two_constants() -> None:
    graph = OnnxGraph()
    assert graph.scalar(0.0) != graph.scalar(-0.0)


def test_scalars_have_no_axes() -> None:
    graph = OnnxGraph()
    assert list(graph.initializers[graph.scalar(0.3)].dims) == []
    assert list(graph.initializers[graph.constant(torch.tensor(3.0), "x")].dims) == []


def test_constants_and_values_cannot_meet() -> None:
    """Layers have no dot in their names, constants always do."""
    graph = OnnxGraph()
    assert "." in graph.constant(np.ones(2, np.float32), "slice")
    assert "." in graph.op("Relu", ["observation"])


def test_a_column_of_a_matrix_is_stored_as_it_reads() -> None:
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    graph = OnnxGraph()
    name = graph.constant(matrix.T, "transposed")
    np.testing.assert_array_equal(numpy_helper.to_array(graph.initializers[name]), matrix.T)


def test_the_same_pair_is_written_once() -> None:
    graph, spec = OnnxGraph(), affine_spec(-1.0, 2.0)
    assert graph.activation("x", spec) == graph.activation("x", spec)
    assert kinds(graph) == ["QuantizeLinear", "DequantizeLinear"]
    graph.activation("y", spec)
    assert len(graph.nodes) == 4
    assert len(graph.initializers) == 2


@pytest.mark.parametrize("bits", [2, 5, 7])
def test_narrow_integers_are_clipped_first(bits: int) -> None:
    graph, spec = OnnxGraph(), affine_spec(-1.0, 2.0, bits)
    graph.activation("x", spec)
    assert kinds(graph) == ["Clip", "QuantizeLinear", "DequantizeLinear"]
    low, high = (float(numpy_helper.to_array(graph.initializers[n])) for n in graph.nodes[0].input[1:])
    assert high - low == pytest.approx((2**bits - 1) * float(spec.scale))


def test_without_a_spec_nothing_is_rounded() -> None:
    graph = OnnxGraph()
    assert graph.activation("x", None) == "x"
    assert graph.rounding("x", None) == "x"
    assert graph.activation("x", None, "y") == "y"
    assert graph.rounding("x", None, "z") == "z"
    assert kinds(graph) == ["Identity", "Identity"]


def test_a_second_rounding_is_not_adjacent_to_the_first() -> None:
    graph = OnnxGraph()
    first = graph.activation("x", affine_spec(-1.0, 2.0))
    graph.activation(graph.op("Relu", [first]), affine_spec(0.0, 1.0))
    assert kinds(graph) == ["QuantizeLinear", "DequantizeLinear", "Relu", "Clip", "Div", "Round", "Mul"]
    other = OnnxGraph()
    other.activation(other.op("Tanh", [other.activation("x", affine_spec(-1.0, 2.0))]), affine_spec(-1.0, 1.0))
    assert kinds(other)[-2:] == ["QuantizeLinear", "DequantizeLinear"]


def test_rounding_in_float() -> None:
    graph = OnnxGraph()
    graph.rounding("x", affine_spec(-1.0, 2.0))
    assert kinds(graph) == ["Clip", "Div", "Round", "Mul"]
    by_channel = QuantSpec(8, True, torch.tensor([0.1, 0.2]), torch.tensor([0, 0], dtype=torch.int32), axis=1)
    graph = OnnxGraph()
    graph.rounding("x", by_channel)
    assert kinds(graph) == ["QuantizeLinear", "DequantizeLinear"]
    assert graph.nodes[0].attribute[0].i == 1


@pytest.mark.parametrize("bits", [3, 8])
def test_weights_are_stored_as_integers(bits: int) -> None:
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    spec = symmetric_spec(weight, bits)
    graph = OnnxGraph()
    graph.parameter(weight, spec, "layer.weight")
    stored = graph.initializers["layer.weight.quantized"]
    assert stored.data_type == TensorProto.INT8
    np.testing.assert_array_equal(numpy_helper.to_array(stored), quantize(weight, spec).numpy())
    assert kinds(graph) == ["DequantizeLinear"]
    unsigned = OnnxGraph()
    unsigned.parameter(weight, affine_spec(-3.0, 3.0), "layer.weight")
    assert unsigned.initializers["layer.weight.quantized"].data_type == TensorProto.UINT8


def test_biases_are_stored_as_32_bit_integers() -> None:
    inputs, weights = affine_spec(-1.0, 3.0), symmetric_spec(torch.ones(2, 2))
    graph = OnnxGraph()
    graph.parameter(torch.tensor([1000.0, -0.5]), bias_spec(inputs, weights), "layer.bias")
    assert graph.initializers["layer.bias.quantized"].data_type == TensorProto.INT32


def test_float_parameters_stay() -> None:
    graph = OnnxGraph()
    assert graph.parameter(torch.ones(2, 2), None, "layer.weight") == "layer.weight"
    assert not graph.nodes


def test_nodes_are_named_after_the_layer() -> None:
    graph = OnnxGraph()
    graph.scope = "hidden"
    graph.op("Relu", ["x"])
    graph.op("Relu", ["x"])
    assert [node.name for node in graph.nodes] == ["hidden/Relu_0", "hidden/Relu_1"]


def test_a_narrow_activation_per_channel_is_refused_by_name() -> None:
    spec = QuantSpec(6, False, torch.tensor([0.1, 0.2]), torch.zeros(2, dtype=torch.int32), axis=1)
    with pytest.raises(NetworkError, match="narrower than 8 bits"):
        OnnxGraph().activation("value", spec)


@pytest.mark.parametrize("shape", [(3, 5), (2, 2), (1, 1)])
def test_packed_weights_are_int4(shape: tuple[int, int]) -> None:
    weight = torch.linspace(-1, 1, shape[0] * shape[1]).reshape(shape)
    graph = OnnxGraph()
    spec = replace(symmetric_spec(weight, 4), packed=True)
    graph.parameter(weight, spec, "layer.weight")
    stored = graph.initializers["layer.weight.quantized"]
    assert stored.data_type == TensorProto.INT4
    assert len(stored.raw_data) == (weight.numel() + 1) // 2
    np.testing.assert_array_equal(numpy_helper.to_array(stored).astype(np.int32), quantize(weight, spec).numpy())
    assert graph.initializers["layer.weight.zero_point"].data_type == TensorProto.INT4
    assert (graph.opset, graph.ir_version, graph.widths) == (21, 10, {})
    assert graph.parameter(weight, spec, "other.weight") != graph.parameter(weight + 1, spec, "third.weight")
    assert "other.weight.quantized" not in graph.initializers


def test_narrow_integers_in_bytes_are_noted() -> None:
    weight = torch.linspace(-1, 1, 6).reshape(2, 3)
    graph = OnnxGraph()
    graph.parameter(weight, symmetric_spec(weight, 8), "wide.weight")
    graph.parameter(weight, symmetric_spec(weight, 3), "narrow.weight")
    assert graph.widths == {"narrow.weight.quantized": 3}
    assert (graph.opset, graph.ir_version) == (OPSET, IR_VERSION)
