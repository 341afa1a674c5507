from __future__ import annotations

from itertools import product

import onnx
import pytest
import torch
from branching_modules import (
    AroundObservation,
    Gate,
    Normed,
    Residual,
    SplitConvolutions,
    image_policy_of,
    policy_of,
)
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper
from torch import Tensor

from checkpoint_policies import POLICIES, cnn_dqn, dqn, materials_for, observations_of, sac
from policypress.compression.pipeline import build_artifact
from policypress.compression.quantization.gptq import SHRINKS, Gptq, round_matrix
from policypress.compression.quantization.rtn import Rtn
from policypress.compression.quantization.weight_rounding import full_scale, highest, nearest, rounding_error
from policypress.compression.recipe import Recipe
from policypress.compression.reconstruction import weighted
from policypress.compression.step import Context
from policypress.export.parity import to_tensors
from policypress.measurement.sizes import integer_bits
from policypress.policy.policy import Policy
from policypress.writers.onnx_writer import to_onnx
from policypress_runtime.contract import INTEGER_BITS_KEY
from policypress_runtime.errors import RecipeError
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime

BRANCHING = {
    "residual": lambda: policy_of(Residual()),
    "around_observation": lambda: policy_of(AroundObservation()),
    "gate": lambda: policy_of(Gate()),
    "normed": lambda: policy_of(Normed()),
    "split": lambda: image_policy_of(SplitConvolutions()),
}


def covariance_of(columns: int, seed: int, samples: int = 60) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, columns, generator=rng) @ torch.randn(columns, columns, generator=rng)
    return (x.T @ x / samples + 0.01 * torch.eye(columns)).double()


def test_an_error_goes_into_what_is_correlated() -> None:
    """Two inputs that are always equal: only the sum of their weights counts, and 0.8 is nearer to 1 than to 0."""
    covariance = (
        torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).double() + 1e-4 * torch.eye(3).double()
    )
    matrix = torch.tensor([[0.4, 0.4, 3.0]]).double()
    assert nearest(matrix, full_scale(matrix, 3), 3).tolist() == [[0, 0, 3]]
    rounded = round_matrix(matrix, covariance, 3)
    assert sorted((rounded.integers[0, :2] * rounded.scale[0]).tolist()) == pytest.approx([0.0, 1.0])
    assert float(rounded.matrix[0, 2]) == pytest.approx(3.0)


@given(st.integers(0, 2000), st.integers(2, 8), st.integers(1, 90), st.integers(1, 5))
def test_never_worse_than_rounding_to_nearest(seed: int, bits: int, columns: int, rows: int) -> None:
    covariance = covariance_of(columns, seed)
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)).double()
    rounded = round_matrix(matrix, covariance, bits)
    scale = full_scale(matrix, bits)
    plain = nearest(matrix, scale, bits) * scale.double()[:, None]
    least = rounding_error(plain, matrix, covariance)
    assert bool((rounding_error(rounded.matrix, matrix, covariance) <= least * (1 + 1e-6) + 1e-12).all())
    assert float(rounded.integers.abs().max()) <= highest(bits)
    assert torch.equal(rounded.integers, rounded.integers.round())
    assert bool((rounded.scale <= scale).all())


def test_it_is_nearly_the_best_of_all_roundings() -> None:
    """All integers of 2 bits for five inputs, tried at every scale."""
    worst = 0.0
    for seed in range(8):
        covariance = covariance_of(5, seed)
        matrix = torch.randn(1, 5, generator=torch.Generator().manual_seed(seed)).double()
        every = torch.tensor(list(product((-1, 0, 1), repeat=5))).double()
        scale = full_scale(matrix, 2).double()
        best = min(
            float(rounding_error(every * scale * shrink, matrix.expand(len(every), -1), covariance).min())
            for shrink in SHRINKS
        )
        found = float(rounding_error(round_matrix(matrix, covariance, 2).matrix, matrix, covariance))
        assert found >= best * (1 - 1e-6)
        worst = max(worst, found / best)
    assert worst < 3


def test_more_columns_than_a_block_are_swept_alike() -> None:
    covariance = covariance_of(150, 0, samples=400)
    matrix = torch.randn(3, 150, generator=torch.Generator().manual_seed(0)).double()
    rounded = round_matrix(matrix, covariance, 4)
    plain = nearest(matrix, full_scale(matrix, 4), 4) * full_scale(matrix, 4).double()[:, None]
    errors = [float(rounding_error(other, matrix, covariance).sum()) for other in (rounded.matrix, plain)]
    assert errors[0] < 0.3 * errors[1]


@pytest.mark.parametrize("name", [*POLICIES, *BRANCHING])
def test_parity_holds_for_every_policy(name: str) -> None:
    torch.manual_seed(0)
    policy = {**POLICIES, **BRANCHING}[name]()
    state = {key: value.clone() for key, value in policy.state_dict().items()}
    compressed = build_artifact(policy, Recipe.parse("equalize > gptq(4)"), materials_for(policy, 128))
    assert compressed.artifact.parity.share_within >= 0.999
    assert compressed.artifact.contract.precision in ("mixed", "int8")
    assert all(torch.equal(value, state[key]) for key, value in policy.state_dict().items())
    model = onnx.load_from_string(compressed.artifact.model)
    assert model.opset_import[0].version == 19
    layers = dict(policy.weighted_layers())
    bits = integer_bits(model)
    assert len(bits) == len(layers)
    assert set(bits.values()) <= {4, 8}


@pytest.mark.parametrize("name", ["sac", "dqn", "normalised_ppo", "cnn_dqn", "dict_td3", "crossq"])
def test_actions_are_nearer_than_with_rounding_to_nearest(name: str) -> None:
    policy = POLICIES[name]()
    observations = observations_of(policy.observation_space, 256)
    errors = []
    for step in (Gptq(3), Rtn(3)):
        quantized = step.apply(policy, Context(observations))
        with torch.no_grad():
            batch = to_tensors(observations)
            errors.append(float((quantized.scores(batch) - policy.scores(batch)).square().mean()))
    assert errors[0] < errors[1]


@pytest.mark.parametrize("bits", range(2, 9))
def test_every_width(bits: int) -> None:
    policy = sac()
    observations = observations_of(policy.observation_space, 128)
    quantized = Gptq(bits, ends=bits).apply(policy, Context(observations))
    for _, layer in quantized.weighted_layers():
        spec = layer.quant.weight
        assert spec is not None
        assert (spec.bits, spec.signed, spec.axis, spec.narrow) == (bits, True, 0, True)
        integers = layer.weight.detach() / spec.scale[:, None]
        torch.testing.assert_close(integers, integers.round(), rtol=0, atol=1e-4)
        assert float(integers.abs().max()) <= highest(bits) + 1e-4
        assert layer.quant.bias is not None
        assert layer.quant.bias.bits == 32


def test_narrow_activations() -> None:
    policy = sac()
    compressed = build_artifact(policy, Recipe.parse("equalize > gptq(4, activations=5)"), materials_for(policy))
    wide = build_artifact(policy, Recipe.parse("equalize > gptq(4)"), materials_for(policy))
    assert compressed.record.action_error is not None
    assert wide.record.action_error is not None
    assert compressed.record.action_error > wide.record.action_error
    quantized = Gptq(4, activations=5).apply(policy, Context(observations_of(policy.observation_space, 64)))
    assert all(layer.quant.input.bits == 5 for _, layer in quantized.weighted_layers() if layer.quant.input)


def test_the_mean_is_in_the_bias() -> None:
    policy = dqn()
    observations = observations_of(policy.observation_space, 256)
    quantized = Gptq(2, ends=2).apply(policy, Context(observations))
    with torch.no_grad():
        batch = to_tensors(observations)
        torch.testing.assert_close(quantized.scores(batch).mean(0), policy.scores(batch).mean(0), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("build", [sac, cnn_dqn])
def test_packed_storage_is_the_same_artifact_in_half_the_bytes(build: type[Policy]) -> None:
    policy = build()
    materials = materials_for(policy, 128)
    wide, packed = (
        build_artifact(policy, Recipe.parse(f"equalize > gptq(4, ends=4{extra})"), materials)
        for extra in ("", ", storage=int4")
    )
    assert packed.artifact.contract.precision == wide.artifact.contract.precision == "int4"
    assert packed.record.packed_bytes == pytest.approx(wide.record.packed_bytes, abs=64)
    weights = sum(layer.weight.numel() for _, layer in policy.weighted_layers())
    assert wide.record.file_bytes - packed.record.file_bytes == pytest.approx(weights / 2, rel=0.4)
    outputs = [OnnxRuntime(other.artifact.model).run_batch(materials.held_out) for other in (wide, packed)]
    for name in outputs[0]:
        torch.testing.assert_close(
            torch.from_numpy(outputs[0][name]), torch.from_numpy(outputs[1][name]), rtol=1e-4, atol=1e-4
        )
    model = onnx.load_from_string(packed.artifact.model)
    assert (model.opset_import[0].version, model.ir_version) == (21, 10)
    kinds = [tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) > 1]
    assert set(kinds) == {TensorProto.INT4}


def test_the_file_says_how_narrow_its_integers_are() -> None:
    policy = sac()
    quantized = Gptq(3, ends=6).apply(policy, Context(observations_of(policy.observation_space, 64)))
    model = to_onnx(quantized)
    assert integer_bits(model) == {
        "linear.weight.quantized": 6,
        "linear_2.weight.quantized": 3,
        "linear_3.weight.quantized": 6,
    }
    assert [entry.key for entry in model.metadata_props] == [INTEGER_BITS_KEY]
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    middle = numpy_helper.to_array(stored["linear_2.weight.quantized"])
    assert (middle.dtype, int(abs(middle).max())) == ("int8", 3)
    spec = weighted(quantized, "linear_2").quant.weight
    assert spec is not None
    weights = middle * spec.scale[:, None].numpy()
    torch.testing.assert_close(torch.from_numpy(weights), weighted(quantized, "linear_2").weight.detach())


def test_text() -> None:
    assert Recipe.parse("gptq(4)").steps == (Gptq(4),)
    assert Recipe.parse("gptq(bits=3, ends=8, activations=8, storage=int8)").text == "gptq(3)"
    with pytest.raises(RecipeError, match="can quantize only once"):
        Recipe.parse("gptq(4) > int8")
    with pytest.raises(RecipeError, match="stor"):
        Recipe.parse("gptq(4, storage=float)")
