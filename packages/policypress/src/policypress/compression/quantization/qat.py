"""``qat``: the quantizers that quantization-aware training learned become the policy's ``QuantSpec``.

Nothing is calibrated: the artifact computes what the agent computed while it was trained. After Lu et al. 2024, section
3.2 (train quantized, then export), and Li 2023, section 3.3 (affine min-max activations).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from policypress.agents.bundle import LearnedQuantizer
from policypress.compression.step import Context, Stage, Step
from policypress.policy.layers import Affine, Weighted
from policypress.policy.policy import Policy
from policypress.policy.quantization import LayerQuant, affine_spec, bias_spec, observation_scale, symmetric_spec
from policypress_runtime.errors import RecipeError


@dataclass(frozen=True)
class Qat(Step):
    """Quantize every linear and convolutional layer as it was in training.

    A layer that never read anything but 0 was not quantized in training, and stays float.

    Raises:
        RecipeError: on use, the agent learned no ranges, or a step before has changed the network they are for.
    """

    name: ClassVar[str] = "qat"
    stage: ClassVar[Stage] = Stage.QUANTIZATION
    version: ClassVar[int] = 1

    def apply(self, policy: Policy, context: Context) -> Policy:
        """Copy of ``policy`` whose layers carry their ``QuantSpec``."""
        _check_untouched(policy, context.teacher)
        result = policy.clone()
        quantized = [_quantize(result, name, layer) for name, layer in list(result.weighted_layers())]
        if not any(quantized):
            raise _nothing_learned("ranges that nothing has moved")
        return result


def _quantize(policy: Policy, name: str, layer: Weighted) -> bool:
    learned: LearnedQuantizer | None = layer.learned
    if learned is None:
        raise _nothing_learned(f"none for the layer {name}")
    if not learned.low < learned.high:
        return False
    if learned.peak is not None:
        features = observation_scale(torch.tensor(learned.peak, dtype=torch.float32))
        scaling = Affine(scale=(1.0 / features).numpy(), role="input_scale")
        policy.insert_before(name, policy.node(name).inputs[0], f"{name}_input_scale", scaling)
        with torch.no_grad():
            layer.weight.mul_(features)
    read = affine_spec(learned.low, learned.high, learned.activation_bits)
    weight = symmetric_spec(layer.weight, learned.weight_bits, per_channel=learned.per_channel)
    bias = None if layer.bias is None else bias_spec(read, weight)
    layer.quant = LayerQuant(input=read, weight=weight, bias=bias)
    return True


def _nothing_learned(got: str) -> RecipeError:
    return RecipeError(
        "The step qat uses ranges from quantization-aware training, and this agent has none.",
        got=got,
        expected="an agent that was trained with quantization-aware training",
        hint="Train it that way (policypress train ALGO ENV --qat), or quantize it after training: equalize > int8.",
    )


def _check_untouched(policy: Policy, teacher: Policy | None) -> None:
    """Refuse a network that is not the one which the ranges were learned for."""
    if teacher is None:
        return
    before, after = dict(teacher.weighted_layers()), dict(policy.weighted_layers())
    changed = [name for name in after if name not in before or not torch.equal(after[name].weight, before[name].weight)]
    if changed or before.keys() != after.keys() or len(policy.nodes) != len(teacher.nodes):
        raise RecipeError(
            "The step qat cannot follow another step: its ranges were learned for the network as it was trained.",
            got="a network that an earlier step has changed: "
            + ", ".join(changed or sorted(before.keys() ^ after.keys())),
            expected="the recipe qat",
            hint="Quantize a pruned or equalised network with int8.",
        )
