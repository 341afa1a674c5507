"""How much two right evaluations of one policy may differ: rounding, ties, and one quantization step.

The definitions are in docs/design.md, "Parity", with the measurements that shaped them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from policypress.policy.layers import Weighted
from policypress.policy.policy import Observation, Policy
from policypress.policy.quantization import FLOAT, LayerQuant, QuantSpec, apply_to_parameter, fake_quantize

Array = npt.NDArray[Any]
Values = Mapping[str, torch.Tensor]

# Eight random sign patterns of one unit in the last place: a cheap lower estimate of what rounding may do.
ROUNDING_DRAWS = 8
ROUNDING_STEP = 2.0**-23
# Share of a quantization step within which float32 arithmetic may round either way.
TIE_STEPS = 1e-4
# Ways to round what is tied: all up, all down, away from 0, towards 0, and at random; and how much farther
# another way may lead than the farthest of them.
TIE_DRAWS = 8
TIE_MARGIN = 2.0


def rounding_slack(policy: Policy, observations: Observation) -> Array:
    """How far the last bits of its parameters move the fp32 policy's output, per observation and component.

    A float32 dot product is exact for weights that differ in their last bits (the backward error of summation),
    so two right evaluations may differ by this much; where the network is steep it exceeds 1e-5.
    """
    exact = policy.clone()
    for _, layer in exact.weighted_layers():
        _leave_float(layer)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        want = exact.scores(observations)
        slack = torch.zeros_like(want)
        for _ in range(ROUNDING_DRAWS):
            moved = exact.clone()
            for parameter in moved.parameters():
                signs = torch.randint(0, 2, parameter.shape, generator=generator) * 2.0 - 1.0
                parameter.mul_(1 + ROUNDING_STEP * signs)
            slack = torch.maximum(slack, (moved.scores(observations) - want).abs())
    return slack.numpy()


def step_bound(policy: Policy, values: Values) -> Array:
    """How far one quantization step in every unit before the last layers can move the output.

    The step moves a last layer's value by s_x · Σ|W|; both directions are followed through what comes
    after it (monotone: squash, unscale, clip).

    Args:
        policy: fake-quantized.
        values: of one run of ``policy``.
    """
    output = policy.scores_node or policy.nodes[-1].name
    bound = torch.zeros_like(values[output])
    for name, layer in policy.weighted_layers():
        if layer.quant.input is None or not policy.is_last(name):
            continue
        delta = _step_delta(layer).to(values[name].dtype)
        for sign in (1.0, -1.0):
            moved = policy.replay(values, name, values[name] + sign * delta)
            bound = torch.maximum(bound, (moved[output] - values[output]).abs())
    return bound.numpy()


def _step_delta(layer: Weighted) -> torch.Tensor:
    spec = layer.quant.input
    scale = torch.tensor(0.0) if spec is None else spec.scale.max()
    per_output = layer.weight.detach().abs().flatten(1).sum(1) * scale
    return per_output.reshape(-1, *([1] * (layer.weight.dim() - 2)))


def tied_rows(policy: Policy, values: Values) -> npt.NDArray[np.bool_]:
    """Observations in which some value lies within ``TIE_STEPS`` of half a quantization step, ``(batch,)``.

    There float32 may round to either neighbour, so that right evaluations may differ by a step from there on.

    Args:
        policy: fake-quantized, evaluated in float64.
        values: of one run of ``policy``.
    """
    rows = torch.zeros(len(next(iter(values.values()))), dtype=torch.bool)
    for node in policy.nodes:
        layer = policy.layers[node.name]
        quant = _quant(layer)
        if quant.input is not None:
            rows |= _tied(values[node.inputs[0]], quant.input)
        if quant.output is not None:
            rows |= _tied(_before_output(layer, [values[name] for name in node.inputs]), quant.output)
    return rows.numpy()


def _tied(x: torch.Tensor, spec: QuantSpec) -> torch.Tensor:
    scale, zero = spec.spread(x.dim())
    steps = x / scale
    q = torch.round(steps) + zero
    inside = (q >= spec.lowest - 1) & (q <= spec.highest + 1)
    return (((steps - torch.floor(steps) - 0.5).abs() < TIE_STEPS) & inside).flatten(1).any(1)


def tie_slack(policy: Policy, observations: Observation) -> Array:
    """How far the output moves, per observation and component, when what is tied rounds either way.

    Every value that is about to be quantized is moved by ``TIE_STEPS`` of a step: nothing else than a tie changes
    its integer, so that the slack of an observation without a tie is 0.

    Args:
        policy: fake-quantized, evaluated in float64.
        observations: those to look at; costs ``TIE_DRAWS`` runs.
    """
    generator = torch.Generator().manual_seed(0)
    output = policy.scores_node or policy.nodes[-1].name
    with torch.no_grad():
        values = policy.run(observations)
        slack = torch.zeros_like(values[output])
        for draw in range(TIE_DRAWS):
            moved = {spec.name: values[spec.name] for spec in policy.inputs.values()}
            for node in policy.nodes:
                layer = policy.layers[node.name]
                inputs, quant = [moved[name] for name in node.inputs], _quant(layer)
                inputs[0] = _nudged(inputs[0], quant.input, draw, generator)
                if quant.output is None:
                    moved[node.name] = layer(*inputs)
                else:
                    nudged = _nudged(_before_output(layer, inputs), quant.output, draw, generator)
                    moved[node.name] = fake_quantize(nudged, quant.output)
            slack = torch.maximum(slack, (moved[output] - values[output]).abs())
    return TIE_MARGIN * slack.numpy()


def _nudged(x: torch.Tensor, spec: QuantSpec | None, draw: int, generator: torch.Generator) -> torch.Tensor:
    if spec is None:
        return x
    ways = (torch.ones_like(x), -torch.ones_like(x), torch.sign(x), -torch.sign(x))
    signs = ways[draw] if draw < len(ways) else torch.randint(0, 2, x.shape, generator=generator) * 2.0 - 1.0
    return x + TIE_STEPS * spec.spread(x.dim())[0] * signs


def _quant(layer: nn.Module) -> LayerQuant:
    quant = getattr(layer, "quant", FLOAT)
    return quant if isinstance(quant, LayerQuant) else FLOAT


def _before_output(layer: nn.Module, inputs: list[torch.Tensor]) -> torch.Tensor:
    """The layer's value before its own output is quantized."""
    bare = copy.copy(layer)
    # Not by assignment, which torch types as a parameter or a module.
    bare.__dict__["quant"] = replace(_quant(layer), output=None)
    value: torch.Tensor = bare(*inputs)
    return value


def _leave_float(layer: Weighted) -> None:
    """Take quantization off, but where weights alone are quantized keep their values: their sums may cancel exactly."""
    weight = layer.quant.weight
    if weight is not None and layer.quant.input is None:
        with torch.no_grad():
            layer.weight.copy_(apply_to_parameter(layer.weight, weight))
    layer.quant = FLOAT
