"""``equalize``: makes the values that one scale must cover alike, without changing the function.

Input scaling: feature j of what enters the network is divided by s_j = x_j^α / w_j^(1 − α), and the first layer's
column j multiplied by it; x_j is the feature's largest magnitude on visited observations, w_j the column's. Hidden
equalisation: between two layers with a positively homogeneous activation between them (ReLU, leaky ReLU), channel c
is divided by s_c = √(r_c / w_c) and the next layer's column multiplied by it; r_c is the larger of the channel's
share of the weight range before it and of the activation range, w_c the largest magnitude in the column.

Centring: where the action is the best of several scores, only their differences count, so the mean row is taken out
of each group of the last layer. A Q-network's scores share a large value (some 100 on CartPole) beside which the
differences that decide are smaller than a quantization step.

After SmoothQuant (Xiao et al. 2022, arXiv:2211.10438) and cross-layer equalisation (Nagel et al. 2019,
arXiv:1906.04721). ``benchmarks/equalisation.py`` compares the rules on real agents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from policypress.compression.calibration import channel_peaks
from policypress.compression.step import Context, Stage, Step
from policypress.policy.layers import Activation, Affine, ArgMax, Conv2d, Flatten, Linear, Weighted
from policypress.policy.policy import Policy

HOMOGENEOUS = ("relu", "leaky_relu", "identity")
# With α = 1 the weights take the whole spread of the observations, which costs DDPG Hopper up to a third of its
# return, depending on the calibration; with α = ½ DQN CartPole loses half (docs/recipes.md).
ALPHA = 0.7
_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Equalize(Step):
    """Centring, input scaling, and hidden equalisation where the activation allows it."""

    name: ClassVar[str] = "equalize"
    stage: ClassVar[Stage] = Stage.CONDITIONING
    version: ClassVar[int] = 1

    def apply(self, policy: Policy, context: Context) -> Policy:
        """Equalised copy: the same actions up to float rounding; scores are shifted by a common value per group."""
        result = policy.clone()
        with torch.no_grad():
            _centre(result)
            peaks = channel_peaks(result, context.calibration)
            for name, layer in list(result.weighted_layers()):
                value = result.node(name).inputs[0]
                pair = _homogeneous_pair(result, value)
                if pair is not None:
                    _equalize_pair(pair, layer, peaks[value])
                elif isinstance(layer, Linear) and not _is_activation(result, value):
                    _scale_input(result, name, layer, value, peaks[value])
        return result


def _centre(policy: Policy) -> None:
    head = policy.layers[policy.nodes[-1].name]
    last = dict(policy.layers.items()).get(policy.scores_node or "")
    if not isinstance(head, ArgMax) or not isinstance(last, Linear):
        return
    for rows in torch.split(torch.arange(last.out_features), list(head.counts)):
        last.weight[rows] -= last.weight[rows].mean(0)
        if last.bias is not None:
            last.bias[rows] -= last.bias[rows].mean()


def _is_activation(policy: Policy, value: str) -> bool:
    return value in policy.layers and isinstance(policy.layers[value], Activation)


def _scale_input(policy: Policy, name: str, layer: Linear, value: str, peak: Tensor) -> None:
    scale = input_scale(peak, layer.weight.detach().abs().amax(0))
    layer.weight.mul_(scale)
    policy.insert_before(name, value, f"{name}_input_scale", Affine(scale=(1.0 / scale).numpy(), role="input_scale"))


def input_scale(peak: Tensor, columns: Tensor) -> Tensor:
    """s = x^α / w^(1 − α) per feature; 1 where the feature never moved, x where no weight reads it."""
    balanced = peak.clamp(min=_TINY) ** ALPHA / columns.clamp(min=_TINY) ** (1 - ALPHA)
    scale = torch.where(columns > 0, balanced, peak)
    # A feature that never moved gives no evidence to scale by.
    return torch.where(peak > 0, scale, 1.0)


def _homogeneous_pair(policy: Policy, value: str) -> Weighted | None:
    """The layer whose channels feed ``value`` through nothing but a homogeneous activation (and flatten)."""
    homogeneous = False
    while value in policy.layers and len(policy.readers(value)) == 1:
        layer = policy.layers[value]
        if isinstance(layer, Linear | Conv2d):
            return layer if homogeneous else None
        if isinstance(layer, Activation) and layer.name in HOMOGENEOUS:
            homogeneous = True
        elif not isinstance(layer, Flatten):
            return None
        value = policy.node(value).inputs[0]
    return None


def _equalize_pair(previous: Weighted, layer: Weighted, peak: Tensor) -> None:
    channels = previous.weight.shape[0]
    if isinstance(layer, Conv2d) and layer.groups != 1:
        return
    rows = previous.weight.detach().abs().flatten(1).amax(1)
    # Behind a flatten each channel of a convolution owns a block of columns.
    columns = layer.weight.detach().abs().movedim(1, 0).reshape(channels, -1).amax(1)
    scale = hidden_scale(rows, peak.reshape(channels, -1).amax(1), columns)
    repeated = scale.repeat_interleave(layer.weight.shape[1] // channels)
    layer.weight.mul_(repeated.reshape(1, -1, *([1] * (layer.weight.dim() - 2))))
    previous.weight.div_(scale.reshape(-1, *([1] * (previous.weight.dim() - 1))))
    if previous.bias is not None:
        previous.bias.div_(scale)


def hidden_scale(rows: Tensor, peak: Tensor, columns: Tensor) -> Tensor:
    """s = √(r / w) per channel, with r the larger of its shares of the weight and of the activation range.

    A channel that was never active gets the others' geometric mean, so that its
    weights neither widen the range of a tensor nor leave it when the channel wakes up.
    """
    reach = torch.maximum(rows / rows.max().clamp(min=_TINY), peak / peak.max().clamp(min=_TINY))
    active = (peak > 0) & (rows > 0) & (columns > 0)
    if not bool(active.any()):
        return torch.ones_like(rows)
    scale = (reach / columns.clamp(min=_TINY)).sqrt()
    return torch.where(active, scale, scale[active].log().mean().exp())
