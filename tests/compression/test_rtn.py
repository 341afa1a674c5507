from __future__ import annotations

import pytest
import torch
from branching_modules import Gate, SplitConvolutions, image_policy_of, policy_of

from checkpoint_policies import POLICIES, materials_for, observations_of, sac
from policypress.compression.pipeline import build_artifact
from policypress.compression.quantization.int8 import Int8
from policypress.compression.quantization.rtn import Rtn
from policypress.compression.recipe import Recipe
from policypress.compression.step import Context
from policypress.export.parity import to_tensors
from policypress.policy.policy import Policy
from policypress.policy.quantization import QuantSpec
from policypress_runtime.errors import RecipeError


def specs(policy: Policy) -> list[QuantSpec]:
    return [
        spec
        for _, layer in policy.weighted_layers()
        for spec in (layer.quant.input, layer.quant.weight, layer.quant.bias)
        if spec is not None
    ]


@pytest.mark.parametrize("name", [*POLICIES, "gate", "split"])
def test_eight_bits_are_int8(name: str) -> None:
    torch.manual_seed(0)
    own = {"gate": lambda: policy_of(Gate()), "split": lambda: image_policy_of(SplitConvolutions())}
    policy = {**POLICIES, **own}[name]()
    observations = observations_of(policy.observation_space, 64)
    ours, theirs = (step.apply(policy, Context(observations)) for step in (Rtn(8), Int8()))
    for one, other in zip(specs(ours)[:3], specs(theirs)[:3], strict=True):
        assert (one.bits, one.signed, one.axis, one.narrow) == (other.bits, other.signed, other.axis, other.narrow)
        torch.testing.assert_close(one.scale, other.scale, rtol=1e-6, atol=0)
        assert torch.equal(one.zero_point, other.zero_point)
    # Later layers differ only in that rtn sees the quantized activations: the errors are alike.
    with torch.no_grad():
        batch = to_tensors(observations)
        want = policy.scores(batch)
        errors = [float((other.scores(batch) - want).abs().mean()) for other in (ours, theirs)]
    assert errors[0] == pytest.approx(errors[1], rel=0.5)


@pytest.mark.parametrize(("bits", "worst"), [(8, 0.02), (6, 0.05), (4, 0.2)])
def test_through_the_pipeline(bits: int, worst: float) -> None:
    policy = sac()
    record = build_artifact(policy, Recipe.parse(f"equalize > rtn({bits})"), materials_for(policy)).record
    assert record.action_error is not None
    assert record.action_error < worst


def test_text() -> None:
    assert Recipe.parse("rtn(4, ends=4, activations=6, storage=int4)").steps == (Rtn(4, 4, 6, "int4"),)
    assert Recipe.parse("rtn(bits=4, ends=8)").text == "rtn(4)"
    with pytest.raises(RecipeError, match="bits"):
        Recipe.parse("rtn(9)")
