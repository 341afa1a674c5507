"""``equalize``: makes the values that one scale must cover alike, without changing the function.

Input scaling: every feature that enters the network is divided by its largest magnitude on visited
observations, and the first layer's columns are multiplied by it. Hidden equalisation: between two layers
with a positively homogeneous activation between them (ReLU, leaky ReLU), each channel is divided by
s = max|h|^½ / max|w|^½, and the next layer's columns multiplied by it (the idea of SmoothQuant,
arXiv:2211.10438, and of Nagel et al., arXiv:1906.04721, on rollout statistics).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from policypress.compression.calibration import channel_peaks
from policypress.compression.step import Context, Stage, Step
from policypress.policy.layers import Activation, Affine, Conv2d, Flatten, Linear, Weighted
from policypress.policy.policy import Policy

HOMOGENEOUS = ("relu", "leaky_relu", "identity")


@dataclass(frozen=True)
class Equalize(Step):
    """Input scaling, and hidden equalisation where the activation allows it."""

    name: ClassVar[str] = "equalize"
    stage: ClassVar[Stage] = Stage.CONDITIONING
    version: ClassVar[int] = 1

    def apply(self, policy: Policy, context: Context) -> Policy:
        """Equalised copy; equal to ``policy`` up to float rounding."""
        result = policy.clone()
        with torch.no_grad():
            peaks = channel_peaks(result, context.calibration)
            for name, layer in list(result.weighted_layers()):
                value = result.node(name).inputs[0]
                pair = _homogeneous_pair(result, value)
                if pair is not None:
                    _equalize_pair(pair, layer, peaks[value])
                elif isinstance(layer, Linear) and not _is_activation(result, value):
                    _scale_input(result, name, layer, value, peaks[value])
        return result


def _is_activation(policy: Policy, value: str) -> bool:
    return value in policy.layers and isinstance(policy.layers[value], Activation)


def _scale_input(policy: Policy, name: str, layer: Linear, value: str, peak: Tensor) -> None:
    # A feature that never moves keeps scale 1: its column has no evidence to be scaled by.
    scale = torch.where(peak > 0, peak, torch.ones_like(peak))
    layer.weight.mul_(scale)
    policy.insert_before(name, value, f"{name}_input_scale", Affine(scale=(1.0 / scale).numpy(), role="input_scale"))


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
    # Behind a flatten each channel of a convolution owns a block of columns.
    columns = layer.weight.detach().abs().movedim(1, 0).reshape(channels, -1).amax(1)
    height = peak.reshape(channels, -1).amax(1)
    scale = torch.where((columns > 0) & (height > 0), (height / columns.clamp(min=1e-30)).sqrt(), torch.ones(channels))
    repeated = scale.repeat_interleave(layer.weight.shape[1] // channels)
    layer.weight.mul_(repeated.reshape(1, -1, *([1] * (layer.weight.dim() - 2))))
    previous.weight.div_(scale.reshape(-1, *([1] * (previous.weight.dim() - 1))))
    if previous.bias is not None:
        previous.bias.div_(scale)
