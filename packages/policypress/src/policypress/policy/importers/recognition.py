"""Activations that a traced network spells out in elementary steps, recognised by what they compute.

``0.5 · x · (1 + erf(x / √2))`` is a GELU however it is written. A chain of element-wise steps that starts
from one value is run on a grid, and compared with every activation that has no parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from policypress.policy import activations, layers

if TYPE_CHECKING:
    from policypress.policy.importers.assembly import Assembly, Value

LONGEST_CHAIN = 12
CANDIDATES = ("silu", "gelu", "gelu_tanh", "mish", "softsign", "hardswish")
TOLERANCE = 2e-6


def recognised(a: Assembly, value: Value) -> Value:
    """The same value from one activation layer if it is one, else ``value`` itself."""
    chain = _chain(a, value)
    grid = torch.linspace(-9.0, 9.0, 361)
    for source in dict.fromkeys(name for members in chain.values() for name in members):
        if a.values[source].shape != value.shape or (computed := _run(a, chain, value.name, source, grid)) is None:
            continue
        for name in CANDIDATES:
            expected = activations.ACTIVATIONS[name](grid)
            if bool(torch.all((computed - expected).abs() <= TOLERANCE * (1 + expected.abs()))):
                return a.add("activation", layers.Activation(name), a.values[source])
    return value


def _chain(a: Assembly, value: Value) -> dict[str, tuple[str, ...]]:
    """The element-wise steps before ``value``, nearest first, each with the values it reads."""
    chain: dict[str, tuple[str, ...]] = {}
    waiting = [value.name]
    while waiting and len(chain) < LONGEST_CHAIN:
        name = waiting.pop(0)
        step = a.steps.get(name)
        if step is not None and name not in chain and _is_elementwise(step.layer):
            chain[name] = step.inputs
            waiting.extend(step.inputs)
    return chain


def _is_elementwise(layer: nn.Module) -> bool:
    if isinstance(layer, layers.Affine | layers.Clip):
        constants = [cast(Tensor | None, constant) for constant in layer.buffers()]
        return not layer.role and all(c is None or c.numel() == 1 for c in constants)
    return isinstance(layer, layers.Activation | layers.Binary)


def _run(a: Assembly, chain: dict[str, tuple[str, ...]], name: str, source: str, grid: Tensor) -> Tensor | None:
    """What ``name`` computes where ``source`` is ``grid``; None if it needs anything else."""
    if name == source:
        return grid
    if name not in chain:
        return None
    inputs = [_run(a, chain, read, source, grid) for read in chain[name]]
    known = [values for values in inputs if values is not None]
    if len(known) != len(inputs):
        return None
    result: Tensor = a.steps[name].layer(*known)
    return result.reshape(-1) if result.numel() == grid.numel() else None
