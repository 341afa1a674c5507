"""Pointers to tensors, layers and networks, and scratch memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from policypress_train.native.layout import (
    ACTIVATIONS,
    AdamSettings,
    Layer,
    Network,
    ObserverRange,
    Quantizer,
    Tensor,
)
from policypress_train.native.networks import Layers, refused
from policypress_train.qat.layers import FakeQuantized

_LINE = 64
_SPECIAL = ("amsgrad", "maximize", "capturable", "differentiable")
_STATE = ("exp_avg", "exp_avg_sq", "step")


class Scratch:
    """Zeroed memory, aligned to a cache line."""

    def __init__(self, size_bytes: int) -> None:
        self._memory = np.zeros(size_bytes + _LINE, np.uint8)
        self.address = self._memory.ctypes.data + (-self._memory.ctypes.data) % _LINE


def check_optimizer(optimizer: torch.optim.Optimizer) -> None:
    """Check that the optimizer is supported.

    Raises:
        NativeUpdateError: it is not plain Adam with one parameter group, or it has a hook which reads gradients.
    """
    if type(optimizer) is not torch.optim.Adam or len(optimizer.param_groups) != 1:
        raise refused(
            f"{type(optimizer).__name__} with {len(optimizer.param_groups)} parameter groups",
            "Adam with one parameter group",
        )
    special = [name for name in _SPECIAL if optimizer.param_groups[0][name]]
    if special:
        raise refused(f"Adam with {', '.join(special)}", "plain Adam")
    if optimizer._optimizer_step_pre_hooks:
        raise refused("a step pre-hook on the optimizer", "no pre-hooks: gradients are not exposed")


def after_step(optimizer: torch.optim.Optimizer) -> None:
    """Run the optimizer's step post-hooks."""
    for hook in list(optimizer._optimizer_step_post_hooks.values()):
        hook(optimizer, (), {})


def settings_of(optimizer: torch.optim.Optimizer) -> AdamSettings:
    """The settings of its one parameter group."""
    group = optimizer.param_groups[0]
    first, second = group["betas"]
    numbers = (group["lr"], first, second, group["eps"], group["weight_decay"])
    return AdamSettings(*(float(number) for number in numbers))


def tensor_of(parameter: torch.Tensor, state: Any) -> Tensor:
    """Pointers to a parameter and its optimizer ``state``; None if it is frozen."""
    if state is None:
        return Tensor(parameter.data_ptr(), None, None, None)
    return Tensor(parameter.data_ptr(), *(state[parameter][name].data_ptr() for name in _STATE))


def quantizer_of(layer: FakeQuantized) -> Quantizer:
    """The observer ranges of a quantized layer and its largest integers."""
    settings = layer.settings
    running = _observer_range(layer, "running")
    force = _observer_range(layer, "held") if settings.held else running
    weight_qmax, input_qmax = 2 ** (settings.weight_bits - 1) - 1, 2**settings.activation_bits - 1
    return Quantizer(running, force, weight_qmax, input_qmax, settings.per_channel, layer.rectifies)


def _observer_range(layer: FakeQuantized, prefix: str) -> ObserverRange:
    names = ("min", "max", *(("peak",) if layer.settings.scaled else ()))
    return ObserverRange(*(layer.get_buffer(f"{prefix}_{name}").data_ptr() for name in names))


def network_of(layers: Layers, state: Any) -> Network:
    """The network structure; it keeps its layers alive."""
    array = (Layer * len(layers))()
    for index, place in enumerate(layers):
        made, parts = array[index], place.parts
        made.inputs, made.parts, made.activation = parts[0].in_features, len(parts), ACTIVATIONS.index(place.activation)
        made.outputs = sum(part.out_features for part in parts)
        for part, linear in enumerate(parts):
            made.weight[part] = tensor_of(linear.weight, state)
            made.bias[part] = tensor_of(linear.bias, state)
            if isinstance(linear, FakeQuantized):
                made.quantizer[part] = quantizer_of(linear)
    return Network(array, len(layers))


def network_array(networks: Iterable[Network]) -> Any:
    """An array of networks, contiguous in memory."""
    found = list(networks)
    return (Network * len(found))(*found)
