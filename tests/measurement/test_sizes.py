"""Packed bytes, counted by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_policies import ACTIONS, KINDS, Policy, cnn, mixed, mlp, observations_of, quantized

from policypress.measurement.sizes import integer_bits, packed_bytes
from policypress.policy.quantization import symmetric_spec
from policypress.writers.onnx_writer import to_onnx
from policypress_runtime.codegen.program import constant_bytes
from policypress_runtime.codegen.reader import read_program
from policypress_runtime.contract import INTEGER_BITS_KEY


def pressed(policy: Policy, bits: int = 8) -> Policy:
    return quantized(policy, observations_of(policy.observation_space), bits)


def test_fp32_policy_by_hand() -> None:
    """Every parameter 4 bytes; mean (and its low part), 1/std, limits of the normaliser; bounds; the one and half."""
    policy = mlp()
    weights = 4 * ((5 * 8 + 8) + (8 * 8 + 8) + (8 * 3 + 3))
    normaliser = 4 * (5 + 5 + 5 + 2)
    unscale = 4 * (3 + 3 + 2)
    assert packed_bytes(to_onnx(policy)) == weights + normaliser + unscale


def test_int8_policy_by_hand() -> None:
    policy = pressed(mlp())
    weights = (5 * 8) + (8 * 8) + (8 * 3)
    biases = 4 * (8 + 8 + 3)
    scales = 4 * (8 + 8 + 3)  # of weights, one each channel; those of biases are products of these
    inputs = 3 * 4
    zero_points_of_inputs = len({int(layer.quant.input.zero_point) for _, layer in policy.weighted_layers()})
    normaliser, unscale = 4 * (5 + 5 + 5 + 2), 4 * (3 + 3 + 2)
    total = weights + biases + scales + inputs + zero_points_of_inputs
    assert packed_bytes(to_onnx(policy)) == total + normaliser + unscale


def test_a_bias_scale_that_is_no_product_is_stored() -> None:
    policy = pressed(mlp())
    known = packed_bytes(to_onnx(policy))
    layers = [layer for _, layer in policy.weighted_layers()]
    bias = layers[1].quant.bias
    assert bias is not None
    layers[1].quant = replace(layers[1].quant, bias=replace(bias, scale=1.01 * bias.scale))
    assert packed_bytes(to_onnx(policy)) == known + 4 * 8


def test_a_zero_point_that_is_not_zero_is_stored() -> None:
    policy = pressed(mlp())
    model = to_onnx(policy)
    known = packed_bytes(model)
    weight = next(name for name in integer_bits(model))
    node = next(node for node in model.graph.node if node.input[0] == weight)
    own = next(tensor for tensor in model.graph.initializer if tensor.name == node.input[2])
    model.graph.initializer.remove(own)
    node.input[2] = "other.zero_points"
    model.graph.initializer.append(numpy_helper.from_array(np.arange(8, dtype=np.int8), "other.zero_points"))
    assert packed_bytes(model) == known + 8


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("bits", [8, 4])
def test_generated_c_stores_what_packed_bytes_say(action: str, bits: int) -> None:
    """But for single numbers, which stand in its code."""
    policy = pressed(mlp(ACTIONS[action]), bits)
    model = to_onnx(policy)
    single = [t for t in model.graph.initializer if int(np.prod(t.dims)) == 1 and t.data_type != TensorProto.INT64]
    in_code = sum(1 if t.data_type == TensorProto.UINT8 else 4 for t in single)
    stored = sum(constant_bytes(step) for step in read_program(model).steps)
    indices = sum(8 * int(np.prod(t.dims)) for t in model.graph.initializer if t.data_type == TensorProto.INT64)
    assert stored + in_code <= packed_bytes(model) <= stored + in_code + indices


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("action", ACTIONS)
def test_packed_is_at_least_the_parameters(kind: str, action: str) -> None:
    policy = KINDS[kind](ACTIONS[action])
    packed, parameters = packed_bytes(to_onnx(policy)), 4 * policy.parameter_count()
    assert parameters <= packed <= parameters + 200
    small = packed_bytes(to_onnx(pressed(policy)))
    assert small < packed
    assert packed <= len(to_onnx(policy).SerializeToString())


def test_what_steers_the_graph_takes_nothing() -> None:
    """Shapes of a reshape, bounds of a slice: compiled in."""
    model = to_onnx(mixed(ACTIONS["multi_discrete"]))
    names = {t.name: int(np.prod(t.dims)) * 8 for t in model.graph.initializer if t.data_type == TensorProto.INT64}
    assert names
    steering = {
        n for node in model.graph.node if node.op_type in ("Reshape", "Slice", "Gather") for n in node.input[1:]
    }
    kept = sum(size for name, size in names.items() if name not in steering)
    floats = sum(4 * int(np.prod(t.dims)) for t in model.graph.initializer if t.data_type == TensorProto.FLOAT)
    assert packed_bytes(model) == floats + kept


def test_four_bit_tensors_are_packed_two_to_a_byte() -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [helper.make_tensor("w", TensorProto.INT4, [5], [1, 2, 3, 4, 5])],
    )
    model: onnx.ModelProto = helper.make_model(graph)
    assert packed_bytes(model) == 3
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(3, np.float32), "v"))
    assert packed_bytes(model) == 15


@pytest.mark.parametrize(("bits", "halved"), [(8, False), (5, False), (4, True), (3, True)])
def test_weights_of_four_bits_take_half_a_byte_whatever_holds_them(bits: int, halved: bool) -> None:
    policy = pressed(mlp())
    for _, layer in policy.weighted_layers():
        spec = symmetric_spec(layer.weight, bits)
        layer.quant = replace(layer.quant, weight=spec, bias=None)
    wide = pressed(mlp())
    for _, layer in wide.weighted_layers():
        layer.quant = replace(layer.quant, bias=None)
    weights = (5 * 8) + (8 * 8) + (8 * 3)
    difference = packed_bytes(to_onnx(wide)) - packed_bytes(to_onnx(policy))
    assert difference == (weights // 2 if halved else 0)
    assert set(integer_bits(to_onnx(policy)).values()) == {bits}


def test_integer_bits_of_types_and_of_metadata() -> None:
    assert integer_bits(to_onnx(mlp())) == {}
    model = to_onnx(pressed(mlp()))
    names = list(integer_bits(model))
    assert set(integer_bits(model).values()) == {8}
    model.metadata_props.add(key=INTEGER_BITS_KEY, value=json.dumps({names[1]: 3}))
    assert integer_bits(model) == {names[0]: 8, names[1]: 3, names[2]: 8}


def test_int8_images_shrink_nearly_four_times() -> None:
    policy = cnn()
    assert packed_bytes(to_onnx(pressed(policy))) < 0.6 * packed_bytes(to_onnx(policy))
