from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from checkpoint_policies import cnn_dqn, observations_of, sac
from policypress.compression.distillation.quantizers import (
    LearnedQuantizer,
    LearnedQuantizers,
    best_affine_spec,
    best_symmetric_spec,
)
from policypress.export.parity import to_tensors
from policypress.policy.policy import Policy
from policypress.policy.quantization import QuantSpec, affine_spec, fake_quantize, symmetric_spec

bits = st.integers(2, 8)
seeds = st.integers(0, 2**31)


def tensor(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(bits, seeds, st.booleans())
def test_it_computes_what_its_spec_says(width: int, seed: int, per_channel: bool) -> None:
    x = tensor(seed, 6, 9)
    spec = symmetric_spec(x, width) if per_channel else affine_spec(float(x.min()) / 2, float(x.max()), width)
    quantizer = LearnedQuantizer(spec, 2)
    torch.testing.assert_close(quantizer.spec().scale, spec.scale)
    torch.testing.assert_close(quantizer(x), fake_quantize(x, quantizer.spec()), atol=2e-5, rtol=1e-5)


def straight_through(x: Tensor, log_scale: Tensor, limits: tuple[int, int]) -> Tensor:
    """LSQ in its usual form, by automatic differentiation: round passes its gradient, S · clamp(x / S) is the rest."""
    scale = log_scale.exp()
    ratio = torch.clamp(x / scale, *limits)
    return (ratio + (torch.clamp(torch.round(x / scale), *limits) - ratio).detach()) * scale


@pytest.mark.parametrize("per_channel", [False, True])
def test_gradients_are_those_of_learned_step_size_quantization(per_channel: bool) -> None:
    x = (3 * tensor(1, 5, 40)).requires_grad_()
    spec = symmetric_spec(x.detach() / 2, 3) if per_channel else affine_spec(-2.0, 1.0, 3)
    quantizer = LearnedQuantizer(spec, 2)
    log_scale = quantizer.log_scale.detach().clone().requires_grad_()
    # Between the last integer and half a step beyond, the two forms saturate differently.
    ratio = (x / log_scale.exp()).detach()
    low, high = quantizer.limits
    clear = ~(((ratio > high) & (ratio < high + 0.5)) | ((ratio < low) & (ratio > low - 0.5)))
    weight = tensor(2, 5, 40) * clear
    (quantizer(x) * weight).sum().backward()
    got, x.grad = x.grad, None
    (straight_through(x, log_scale, quantizer.limits) * weight).sum().backward()
    torch.testing.assert_close(got, x.grad)
    torch.testing.assert_close(quantizer.log_scale.grad, log_scale.grad, atol=1e-5, rtol=1e-4)
    assert (quantizer.log_scale.grad != 0).all()


@pytest.mark.parametrize("build", [sac, cnn_dqn])
def test_a_layer_in_one_function_is_the_same_as_in_three(build: type[Policy]) -> None:
    policy = build()
    with torch.no_grad():
        values = policy.run(to_tensors(observations_of(policy.observation_space, 16)))
    learned = LearnedQuantizers(policy, values, 4, 5)
    for name, layer in policy.weighted_layers():
        value = policy.node(name).inputs[0]
        x = values[value].clone().requires_grad_()
        read, weight = learned.inputs[value], learned.weights[name]
        parts = (x, layer.weight, layer.bias, read.log_scale, weight.log_scale)
        out = learned.run(name, layer, x)
        factor = tensor(3, *out.shape)
        got = torch.autograd.grad((out * factor).sum(), parts)
        layer_out = torch.nn.functional.linear if x.dim() == 2 else torch.nn.functional.conv2d
        options = {} if x.dim() == 2 else {"stride": layer.stride}
        unit = (read.log_scale + weight.log_scale.flatten()).detach().exp()
        coarse = layer.bias + (torch.round(layer.bias / unit) * unit - layer.bias).detach()
        want = layer_out(read(x), weight(layer.weight), coarse, **options)
        torch.testing.assert_close(out, want)
        for mine, theirs in zip(got, torch.autograd.grad((want * factor).sum(), parts), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-4)


def test_specs_are_set_on_every_layer() -> None:
    policy = sac()
    with torch.no_grad():
        values = policy.run(to_tensors(observations_of(policy.observation_space, 64)))
    learned = LearnedQuantizers(policy, values, 4, 6)
    assert len(learned.scales()) == 6
    with torch.no_grad():
        for scale in learned.scales():
            scale += 0.1
    learned.set_specs(policy)
    for name, layer in policy.weighted_layers():
        q = layer.quant
        assert q.input is not None
        assert q.weight is not None
        assert q.bias is not None
        assert (q.input.bits, q.input.signed, q.weight.bits, q.weight.axis) == (6, False, 4, 0)
        torch.testing.assert_close(q.weight.scale, learned.weights[name].log_scale.detach().exp().flatten())
        assert torch.equal(q.bias.scale, q.input.scale * q.weight.scale)
        assert q.output is None


def error(x: Tensor, spec: QuantSpec) -> float:
    return float((fake_quantize(x, spec) - x).square().mean())


@given(bits, seeds)
def test_the_first_scale_is_no_worse_than_min_max(width: int, seed: int) -> None:
    x = tensor(seed, 50, 4) ** 3
    assert error(x, best_affine_spec(x, width)) <= error(x, affine_spec(float(x.min()), float(x.max()), width))
    best, widest = best_symmetric_spec(x, width), symmetric_spec(x, width)
    assert error(x, best) <= error(x, widest)
    assert (best.scale <= widest.scale).all()


def test_outliers_saturate_where_bits_are_few() -> None:
    x = tensor(0, 4000, 1)
    x[0] = 40.0
    assert float(best_affine_spec(x, 4).scale) < 0.5 * float(affine_spec(float(x.min()), 40.0, 4).scale)
    assert best_symmetric_spec(torch.zeros(2, 3), 4).scale.tolist() == [1.0, 1.0]
