"""Addresses of tensors, layers and networks, and scratch memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from policypress.training.native.layout import BEHIND, AdamSettings, Extent, Layer, Network, Quantizer, Tensor
from policypress.training.native.networks import Layers, refused
from policypress.training.qat.layers import FakeQuantized

_LINE = 64
_SPECIAL = ("amsgrad", "maximize", "capturable", "differentiable")
_STATE = ("exp_avg", "exp_avg_sq", "step")


class Scratch:
    """Zeros on a cache line."""

    def __init__(self, size_bytes: int) -> None:
        self._memory = np.zeros(size_bytes + _LINE, np.uint8)
        self.address = self._memory.ctypes.data + (-self._memory.ctypes.data) % _LINE


def check_optimizer(optimizer: torch.optim.Optimizer) -> None:
    """Check that an optimizer is one whose steps are known.

    Raises:
        NativeUpdateError: it is not plain Adam with one group, or somebody wants to see gradients.
    """
    if type(optimizer) is not torch.optim.Adam or len(optimizer.param_groups) != 1:
        raise refused(f"{type(optimizer).__name__} with {len(optimizer.param_groups)} groups", "Adam with one group")
    special = [name for name in _SPECIAL if optimizer.param_groups[0][name]]
    if special:
        raise refused(f"Adam with {', '.join(special)}", "plain Adam")
    if optimizer._optimizer_step_pre_hooks:
        raise refused("a hook in front of the optimizer's steps", "none: gradients are not seen")


def after_step(optimizer: torch.optim.Optimizer) -> None:
    """What was registered to run behind the optimizer's own steps."""
    for hook in list(optimizer._optimizer_step_post_hooks.values()):
        hook(optimizer, (), {})


def settings_of(optimizer: torch.optim.Optimizer) -> AdamSettings:
    """The numbers of its one group."""
    group = optimizer.param_groups[0]
    first, second = group["betas"]
    numbers = (group["lr"], first, second, group["eps"], group["weight_decay"])
    return AdamSettings(*(float(number) for number in numbers))


def tensor_of(parameter: torch.Tensor, state: Any) -> Tensor:
    """A parameter, and where an optimizer's ``state`` holds its averages; None for what is not learned."""
    if state is None:
        return Tensor(parameter.data_ptr(), None, None, None)
    return Tensor(parameter.data_ptr(), *(state[parameter][name].data_ptr() for name in _STATE))


def quantizer_of(layer: FakeQuantized) -> Quantizer:
    """The extents of a quantized layer and its largest integers."""
    settings = layer.settings
    running = _extent(layer, "running")
    force = _extent(layer, "held") if settings.held else running
    weight_steps, input_steps = 2 ** (settings.weight_bits - 1) - 1, 2**settings.activation_bits - 1
    return Quantizer(running, force, weight_steps, input_steps, settings.per_channel, layer.rectifies)


def _extent(layer: FakeQuantized, prefix: str) -> Extent:
    names = ("min", "max", *(("peak",) if layer.settings.scaled else ()))
    return Extent(*(layer.get_buffer(f"{prefix}_{name}").data_ptr() for name in names))


def network_of(layers: Layers, state: Any) -> Network:
    """The network; it keeps its layers alive."""
    array = (Layer * len(layers))()
    for index, place in enumerate(layers):
        made, parts = array[index], place.parts
        made.inputs, made.parts, made.behind = parts[0].in_features, len(parts), BEHIND.index(place.behind)
        made.outputs = sum(part.out_features for part in parts)
        for part, linear in enumerate(parts):
            made.weight[part] = tensor_of(linear.weight, state)
            made.bias[part] = tensor_of(linear.bias, state)
            if isinstance(linear, FakeQuantized):
                made.quantizer[part] = quantizer_of(linear)
    return Network(array, len(layers))


def row_of(networks: Iterable[Network]) -> Any:
    """Networks one behind the other in memory."""
    found = list(networks)
    return (Network * len(found))(*found)
