"""How much two right evaluations of a quantized policy may differ: ties, and one quantization step.

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
from policypress.policy.quantization import FLOAT, LayerQuant, QuantSpec, fake_quantize
from policypress.policy.rounding import reaches

Array = npt.NDArray[Any]
Values = Mapping[str, torch.Tensor]

# Share of a quantization step within which float32 arithmetic may round either way, where the value is an ordinary
# one; where sums of large numbers cancel, it is what rounding may do to them.
TIE_STEPS = 1e-4
# Ways to round what is tied: all up, all down, away from 0, towards 0, and at random; and how much farther
# another way may lead than the farthest of them.
TIE_DRAWS = 8
TIE_MARGIN = 2.0


def step_bound(policy: Policy, values: Values, output: str | None = None) -> Array:
    """How far one quantization step in every unit before the last layers can move the output.

    The step moves a last layer's value by s_x · Σ|W|; both directions are followed through what comes
    after it (monotone: squash, unscale, clip).

    Args:
        policy: fake-quantized.
        values: of one run of ``policy``.
        output: the node whose value is meant; by default the scores or the action.
    """
    output = output or policy.scores_node or policy.nodes[-1].name
    bound = torch.zeros_like(values[output])
    before = _last_before(policy, output)
    for name, layer in policy.weighted_layers():
        if layer.quant.input is None or name not in before or not (policy.states or policy.is_last(name)):
            continue
        delta = _step_delta(layer).to(values[name].dtype)
        for sign in (1.0, -1.0):
            moved = policy.replay(values, name, values[name] + sign * delta)
            bound = torch.maximum(bound, (moved[output] - values[output]).abs())
    return bound.numpy()


def _last_before(policy: Policy, output: str) -> set[str]:
    """Weighted layers from which a way leads to ``output`` that no other weighted layer lies on."""
    weighted = {name for name, _ in policy.weighted_layers()}
    inputs = {node.name: node.inputs for node in policy.nodes}
    frontier, seen, found = [output], {output}, set[str]()
    while frontier:
        value = frontier.pop()
        if value in weighted:
            found.add(value)
            continue
        before = set(inputs.get(value, ())) - seen
        seen |= before
        frontier.extend(before)
    return found


def _step_delta(layer: Weighted) -> torch.Tensor:
    spec = layer.quant.input
    scale = torch.tensor(0.0) if spec is None else spec.scale.max()
    per_output = layer.weight.detach().abs().flatten(1).sum(1) * scale
    return per_output.reshape(-1, *([1] * (layer.weight.dim() - 2)))


def tied_rows(policy: Policy, values: Values, reach: Values) -> npt.NDArray[np.bool_]:
    """Observations in which some value lies about as near the middle of two integers as float32 can tell, ``(batch,)``.

    There float32 may round to either neighbour, so that right evaluations may differ by a step from there on.

    Args:
        policy: fake-quantized, evaluated in float64.
        values: of one run of ``policy``.
        reach: how far rounding may move each of them (:func:`~policypress.policy.rounding.reaches`).
    """
    rows = torch.zeros(len(next(iter(values.values()))), dtype=torch.bool)
    for node in policy.nodes:
        layer = policy.layers[node.name]
        quant = _quant(layer)
        if quant.input is not None:
            rows |= _tied(values[node.inputs[0]], quant.input, reach[node.inputs[0]])
        if quant.output is not None:
            before = _before_output(layer, [values[name] for name in node.inputs])
            rows |= _tied(before, quant.output, reach[node.name])
    return rows.numpy()


def _tied(x: torch.Tensor, spec: QuantSpec, reach: torch.Tensor) -> torch.Tensor:
    scale, zero = spec.spread(x.dim())
    steps, width = x / scale, torch.clamp(reach / scale, min=TIE_STEPS)
    q = torch.round(steps) + zero
    inside = (q >= spec.lowest - 1) & (q <= spec.highest + 1)
    return (((steps - torch.floor(steps) - 0.5).abs() < width) & inside).flatten(1).any(1)


def tie_slack(policy: Policy, observations: Observation, output: str | None = None) -> Array:
    """How far the output moves, per observation and component, when what is tied rounds either way.

    Every value that is about to be quantized is moved as far as makes a tie: nothing else than a tie changes its
    integer, so that the slack of an observation without a tie is 0.

    Args:
        policy: fake-quantized, evaluated in float64.
        observations: those to look at; costs ``TIE_DRAWS`` runs.
        output: the node whose value is meant; by default the scores or the action.
    """
    generator = torch.Generator().manual_seed(0)
    output = output or policy.scores_node or policy.nodes[-1].name
    with torch.no_grad():
        values, reach = policy.run(observations), reaches(policy, observations)
        slack = torch.zeros_like(values[output])
        for draw in range(TIE_DRAWS):
            moved = {name: values[name] for name in policy.bind(observations)}
            for node in policy.nodes:
                layer = policy.layers[node.name]
                inputs, quant = [moved[name] for name in node.inputs], _quant(layer)
                inputs[0] = _nudged(inputs[0], quant.input, reach[node.inputs[0]], (draw, generator))
                if quant.output is None:
                    moved[node.name] = layer(*inputs)
                else:
                    before = _before_output(layer, inputs)
                    nudged = _nudged(before, quant.output, reach[node.name], (draw, generator))
                    moved[node.name] = fake_quantize(nudged, quant.output)
            slack = torch.maximum(slack, (moved[output] - values[output]).abs())
    return TIE_MARGIN * slack.numpy()


def _nudged(
    x: torch.Tensor, spec: QuantSpec | None, reach: torch.Tensor, way: tuple[int, torch.Generator]
) -> torch.Tensor:
    if spec is None:
        return x
    draw, generator = way
    ways = (torch.ones_like(x), -torch.ones_like(x), torch.sign(x), -torch.sign(x))
    signs = ways[draw] if draw < len(ways) else torch.randint(0, 2, x.shape, generator=generator) * 2.0 - 1.0
    return x + torch.maximum(TIE_STEPS * spec.spread(x.dim())[0], reach) * signs


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
