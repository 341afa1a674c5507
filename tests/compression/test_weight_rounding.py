from __future__ import annotations

import pytest
import torch
from branching_modules import AroundObservation, Residual, SplitConvolutions, image_policy_of, policy_of

from checkpoint_policies import cnn_dqn, dict_td3, multi_discrete_ppo, observations_of, sac
from policypress.compression.quantization.rtn import Rtn
from policypress.compression.quantization.weight_rounding import (
    Rounded,
    Widths,
    end_layers,
    full_scale,
    nearest,
    parts_of,
    rounding_error,
)
from policypress.compression.reconstruction import weighted
from policypress.compression.step import Context
from policypress.policy.layers import Conv2d, Linear
from policypress.policy.policy import Policy
from policypress_runtime.errors import RecipeError


def test_rounding_by_hand() -> None:
    matrix = torch.tensor([[0.7, -0.34, 0.05], [0.0, 0.0, 0.0], [-3.5, 1.2, 0.8]]).double()
    scale = full_scale(matrix, 4)
    assert scale.tolist() == pytest.approx([0.1, 1.0, 0.5])
    integers = nearest(matrix, scale, 4)
    assert integers.tolist() == [[7, -3, 0], [0, 0, 0], [-7, 2, 2]]
    rounded = Rounded(integers, scale).matrix
    assert rounded[0].tolist() == pytest.approx([0.7, -0.3, 0.0])
    error = rounding_error(rounded, matrix, torch.diag(torch.tensor([1.0, 10.0, 100.0]).double()))
    assert error.tolist() == pytest.approx([10 * 0.04**2 + 100 * 0.05**2, 0.0, 10 * 0.2**2 + 100 * 0.2**2], abs=1e-6)


def test_narrower_scales_clip() -> None:
    assert nearest(torch.tensor([[8.0, -8.0, 2.4]]), torch.tensor([1.0]), 3).tolist() == [[3, -3, 2]]


@pytest.mark.parametrize(
    ("policy", "ends"),
    [
        (sac(), {"linear", "linear_3"}),
        (sac((8,)), {"linear", "linear_2"}),
        (multi_discrete_ppo(), {"linear", "linear_2"}),
        (policy_of(Residual()), {"linear", "linear_3"}),
        (policy_of(AroundObservation()), {"linear", "linear_2", "linear_3"}),
        (policy_of(torch.nn.Linear(8, 3)), {"linear"}),
    ],
)
def test_end_layers(policy: Policy, ends: set[str]) -> None:
    assert end_layers(policy) == ends


def test_end_layers_of_branches() -> None:
    policy = dict_td3()
    first, *_, last = (name for name, _ in policy.weighted_layers())
    # The vector reaches the layer behind the concatenation, but the image has been through others by then.
    assert end_layers(policy) == {first, last}


def test_parts_of_grouped_convolutions() -> None:
    assert parts_of(Linear(5, 3)) == [(slice(0, 3), slice(0, 5))]
    assert parts_of(Conv2d(4, 6, 2, groups=2)) == [(slice(0, 3), slice(0, 8)), (slice(3, 6), slice(8, 16))]


@pytest.mark.parametrize("widths", [Widths(1, 8, 8), Widths(4, 9, 8), Widths(4, 8, 0), Widths(4, 8, 8, "int2")])
def test_what_cannot_be_stored_is_refused(widths: Widths) -> None:
    with pytest.raises(RecipeError):
        widths.check("gptq")


@pytest.mark.parametrize(("bits", "ends", "expected"), [(4, 8, [8, 4, 8]), (4, 4, [4, 4, 4]), (6, 2, [6, 6, 6])])
def test_mixed_precision(bits: int, ends: int, expected: list[int]) -> None:
    policy = sac()
    quantized = Rtn(bits, ends).apply(policy, Context(observations_of(policy.observation_space, 64)))
    assert [layer.quant.weight.bits for _, layer in quantized.weighted_layers() if layer.quant.weight] == expected


def test_storage_is_packed_where_four_bits_are_enough() -> None:
    policy = sac()
    context = Context(observations_of(policy.observation_space, 64))
    for storage, expected in (("int8", [False] * 3), ("int4", [False, True, False])):
        quantized = Rtn(4, storage=storage).apply(policy, context)
        assert [layer.quant.weight.packed for _, layer in quantized.weighted_layers() if layer.quant.weight] == expected
    five = Rtn(5, storage="int4").apply(policy, context)
    assert not any(layer.quant.weight.packed for _, layer in five.weighted_layers() if layer.quant.weight)


def test_later_layers_are_calibrated_on_what_quantized_ones_give() -> None:
    policy = sac((32, 24))
    observations = observations_of(policy.observation_space, 200)
    coarse = Rtn(2, ends=2).apply(policy, Context(observations))
    fine = Rtn(8).apply(policy, Context(observations))
    spans = [weighted(other, "linear_2").quant.input for other in (coarse, fine)]
    assert spans[0] is not None
    assert spans[1] is not None
    assert float(spans[0].scale) != float(spans[1].scale)
    with torch.no_grad():
        peak = float(coarse.run(torch.from_numpy(observations))["activation"].max())
    assert float(spans[0].scale) == pytest.approx(peak / 255, rel=1e-5)


@pytest.mark.parametrize("build", [cnn_dqn, lambda: image_policy_of(SplitConvolutions())])
def test_every_layer_of_an_image_policy(build: type[Policy]) -> None:
    torch.manual_seed(0)
    policy = build()
    quantized = Rtn(4).apply(policy, Context(observations_of(policy.observation_space, 16)))
    assert all(layer.quant.weight is not None for _, layer in quantized.weighted_layers())
    assert not policy.quantized
