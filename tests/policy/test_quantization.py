"""The arithmetic of linear quantization: a paper's table, properties, gradients, and ONNX's own reference."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from policypress.policy.quantization import (
    BIAS_BITS,
    FLOAT,
    LayerQuant,
    QuantSpec,
    affine_spec,
    apply,
    apply_to_parameter,
    bias_spec,
    dequantize,
    fake_quantize,
    quantize,
    symmetric_spec,
)


@pytest.mark.parametrize(("real", "integer"), [(-10.0, 0), (10.0, 128), (30.0, 255)])
def test_table_1_of_li_2023(real: float, integer: int) -> None:
    """Range −10 … 30 at 8 bits, min→0 and max→255: the paper's table gives 0 ↔ −10, 128 ↔ 10, 255 ↔ 30."""
    spec = affine_spec(-10.0, 30.0)
    assert quantize(torch.tensor([real]), spec).item() == integer
    # The plain affine map has 128 ↔ 128 · 40 / 255 − 10 = 10.08; the paper rounds. Ours moves the grid so that 0 lies
    # on it, by less than half a step.
    plain = integer * 40 / 255 - 10
    assert abs(plain - real) <= 0.5 * 40 / 255 + 1e-6
    assert abs(dequantize(torch.tensor([integer], dtype=torch.int32), spec).item() - plain) <= 0.5 * 40 / 255
    assert spec.scale.item() == pytest.approx(40 / 255)
    assert spec.zero_point.item() == 64


@st.composite
def specs(draw: st.DrawFn) -> tuple[QuantSpec, torch.Tensor]:
    """A spec of any kind, and values in and around its range."""
    bits, signed = draw(st.integers(2, 8)), draw(st.booleans())
    narrow = signed and draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**31 - 1)))
    channels = draw(st.sampled_from([None, 1, 3]))
    axis = None if channels is None else draw(st.sampled_from([0, 1]))
    shape = () if channels is None else (channels,)
    scale = torch.tensor(10.0 ** rng.uniform(-6, 4, shape), dtype=torch.float32)
    low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if signed else (0, 1 << bits)
    zero = torch.tensor(rng.integers(low + int(narrow), high, shape), dtype=torch.int32)
    spec = QuantSpec(bits, signed, scale, zero, axis, narrow)
    size = {None: (4, 5), 0: (channels, 5), 1: (4, channels)}[axis]
    steps = torch.from_numpy(rng.uniform(-1.5 * 2**bits, 1.5 * 2**bits, size).astype(np.float32))
    steps.flatten()[:2] = torch.tensor([0.0, 0.5])
    return spec, steps * spec.spread(2)[0]


@given(specs())
def test_fake_quantization_is_quantize_then_dequantize(drawn: tuple[QuantSpec, torch.Tensor]) -> None:
    spec, x = drawn
    q = quantize(x, spec)
    assert q.dtype == torch.int32
    assert spec.lowest <= int(q.min())
    assert int(q.max()) <= spec.highest
    assert torch.equal(fake_quantize(x, spec), dequantize(q, spec))


@given(specs())
def test_round_trip(drawn: tuple[QuantSpec, torch.Tensor]) -> None:
    """Integers survive; values in range move by half a step at most, values beyond it to its ends."""
    spec, x = drawn
    scale, zero = spec.spread(2)
    integers = torch.arange(spec.lowest, spec.highest + 1, dtype=torch.int32).unsqueeze(1).expand(-1, 1)
    if spec.axis is None:
        assert torch.equal(quantize(dequantize(integers, spec), spec), integers)
    y = fake_quantize(x, spec)
    low, high = (spec.lowest - zero) * scale, (spec.highest - zero) * scale
    inside = (x >= low) & (x <= high)
    half = (0.5 + 1e-4) * scale.expand_as(x)
    assert bool(((y - x).abs() <= half)[inside].all())
    assert torch.equal(y[x > high], high.expand_as(x)[x > high])
    assert torch.equal(y[x < low], low.expand_as(x)[x < low])
    assert torch.equal(fake_quantize(y, spec), y)


@given(specs())
def test_gradient_passes_inside_the_range_only(drawn: tuple[QuantSpec, torch.Tensor]) -> None:
    spec, values = drawn
    scale, zero = spec.spread(2)
    low, high = (spec.lowest - zero) * scale, (spec.highest - zero) * scale
    x = values.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(fake_quantize(x, spec).sum(), x)
    assert bool((gradient == 1)[(values > low) & (values < high)].all())
    assert bool((gradient == 0)[(values < low) | (values > high)].all())


def test_second_derivatives() -> None:
    """d²/dx² of fake(x)² is 2 where nothing saturates, 0 elsewhere: the rounding does not cut the graph."""
    spec = QuantSpec(8, True, torch.tensor(0.1), torch.tensor(0, dtype=torch.int32))
    x = torch.tensor([0.31, -3.0, 1e3], requires_grad=True)
    (first,) = torch.autograd.grad((fake_quantize(x, spec) ** 2).sum(), x, create_graph=True)
    assert torch.allclose(first, torch.tensor([0.6, -6.0, 0.0]))
    (second,) = torch.autograd.grad(first.sum(), x)
    assert torch.allclose(second, torch.tensor([2.0, 2.0, 0.0]))


@given(specs())
def test_equal_to_the_operators_of_onnx(drawn: tuple[QuantSpec, torch.Tensor]) -> None:
    spec, x = drawn
    dtype = np.int8 if spec.signed else np.uint8
    if spec.bits != 8 or spec.narrow:
        x = fake_quantize(x, spec)  # the narrower integers live in 8-bit ones, whose operators do not know the limits
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], axis=spec.axis or 0),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], axis=spec.axis or 0),
        ],
        "qdq",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(x.shape))],
        [
            helper.make_tensor_value_info("q", TensorProto.INT8 if spec.signed else TensorProto.UINT8, list(x.shape)),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, list(x.shape)),
        ],
        [
            numpy_helper.from_array(spec.scale.numpy(), "s"),
            numpy_helper.from_array(spec.zero_point.numpy().astype(dtype), "z"),
        ],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])
    q, y = ReferenceEvaluator(model).run(None, {"x": x.numpy()})
    assert np.array_equal(q, quantize(x, spec).numpy())
    assert np.array_equal(y, fake_quantize(x, spec).numpy())


def test_halves_round_to_even() -> None:
    spec = QuantSpec(8, True, torch.tensor(1.0), torch.tensor(0, dtype=torch.int32))
    assert quantize(torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5]), spec).tolist() == [0, 2, 2, 0, -2]


@pytest.mark.parametrize("bits", range(2, 9))
def test_symmetric_weights(bits: int) -> None:
    """Peaks of every channel are the largest integers; a channel of zeros stays zeros; −peak is no lower."""
    weight = torch.randn(5, 3, 2, 2, generator=torch.Generator().manual_seed(bits))
    weight[2] = 0
    weight[3] *= 1e-4
    weight[4, 0, 0, 0] = -weight[4].abs().max() * 1.1
    spec = symmetric_spec(weight, bits)
    top = 2 ** (bits - 1) - 1
    assert (spec.lowest, spec.highest, spec.axis) == (-top, top, 0)
    q = quantize(weight, spec)
    assert q.abs().flatten(1).amax(1).tolist() == [top, top, 0, top, top]
    assert not fake_quantize(weight, spec)[2].any()
    whole = symmetric_spec(weight, bits, per_channel=False)
    assert whole.scale.dim() == 0
    assert whole.axis is None
    assert int(quantize(weight, whole).abs().max()) == top
    error = (fake_quantize(weight, spec) - weight).abs().mean()
    assert error <= (fake_quantize(weight, whole) - weight).abs().mean()


@given(
    low=st.floats(-1e6, 1e6),
    high=st.floats(-1e6, 1e6),
    bits=st.integers(2, 8),
)
def test_affine_range_holds_zero_exactly(low: float, high: float, bits: int) -> None:
    low, high = min(low, high), max(low, high)
    spec = affine_spec(low, high, bits)
    assert fake_quantize(torch.tensor([0.0]), spec).item() == 0.0
    assert spec.scale > 0
    assert 0 <= int(spec.zero_point) <= 2**bits - 1
    ends = torch.tensor([low, high])
    # Half a step for the rounding of the value, half for that of the zero point.
    assert bool(((fake_quantize(ends, spec) - ends).abs() <= (1 + 1e-3) * spec.scale).all())


def test_range_of_nothing() -> None:
    spec = affine_spec(0.0, 0.0)
    assert spec.scale.item() == 1.0
    assert fake_quantize(torch.tensor([0.0]), spec).item() == 0.0


def test_biases_have_the_accumulator_s_scale() -> None:
    inputs, weights = affine_spec(-1.0, 3.0), symmetric_spec(torch.tensor([[1.0, -2.0], [0.5, 0.1]]))
    spec = bias_spec(inputs, weights)
    assert (spec.bits, spec.axis) == (BIAS_BITS, 0)
    assert torch.equal(spec.scale, inputs.scale * weights.scale)
    assert spec.zero_point.tolist() == [0, 0]
    bias = torch.tensor([0.3, -0.7])
    assert torch.allclose(fake_quantize(bias, spec), bias, atol=float(spec.scale.max()))
    huge = quantize(torch.tensor([1e30, -1e30]), spec)
    assert huge.tolist() == [2**31 - 1, -(2**31)]
    whole = bias_spec(inputs, symmetric_spec(torch.ones(2, 2), per_channel=False))
    assert whole.axis is None


def test_what_is_not_quantized_stays() -> None:
    x = torch.randn(3)
    assert apply(x, None) is x
    assert not FLOAT.active
    assert LayerQuant(bias=affine_spec(0.0, 1.0)).active


def test_a_double_policy_has_the_integers_of_float32() -> None:
    weight = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    spec = symmetric_spec(weight)
    double = apply_to_parameter(weight.double(), spec)
    assert double.dtype == torch.float64
    assert torch.equal(torch.round(double / spec.scale[:, None].double()).int(), quantize(weight, spec))
    assert apply_to_parameter(weight.double(), None).dtype == torch.float64
