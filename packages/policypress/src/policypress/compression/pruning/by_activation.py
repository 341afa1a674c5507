"""The criterion ``activation``: how much a channel's variation moves the layers that read it.

A channel whose activation hardly varies can be replaced by its mean, a constant that belongs in the readers' biases.
What is lost then is its variation: the standard deviation of the activation times the norm of the outgoing
weights. After criteria from activations (Molchanov et al. 2017, arXiv:1611.06440).

    score = √ Σ_reader Σ_column var(a) · ‖w‖² / V,  with V the variance of what the reader gives, over all its outputs

V makes scores of different layers comparable; within a layer that has one reader it does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from policypress.compression.pruning.groups import ChannelGroup, dropped_columns
from policypress.compression.reconstruction import Spread, bias_of, matrix_of, set_weight, weighted
from policypress.policy.layers import Conv2d, Weighted
from policypress.policy.policy import Policy


def activation_scores(policy: Policy, groups: Sequence[ChannelGroup], spread: Mapping[str, Spread]) -> list[Tensor]:
    """Score of every unit of every group, ``(units,)`` each."""
    return [_score(policy, group, spread) for group in groups]


def _score(policy: Policy, group: ChannelGroup, spread: Mapping[str, Spread]) -> Tensor:
    total = torch.zeros(group.units, dtype=torch.float64)
    for name in group.readers:
        layer = weighted(policy, name)
        energy = spread[name].variance * outgoing(layer) / max(spread[name].given, torch.finfo(torch.float32).tiny)
        total += energy[group.columns(name, layer)].sum(1)
    return total.sqrt()


def outgoing(layer: Weighted, importance: Tensor | None = None) -> Tensor:
    """Squared norm of the weights that read each column, ``(columns,)``; groups of a convolution side by side.

    ``importance`` weighs the outputs, ``(outputs,)``.
    """
    groups = layer.groups if isinstance(layer, Conv2d) else 1
    squares = matrix_of(layer).square()
    if importance is not None:
        squares = squares * importance[:, None]
    return squares.reshape(groups, -1, squares.shape[1]).sum(1).flatten()


def fold_means(
    policy: Policy, groups: Sequence[ChannelGroup], dropped: Sequence[Tensor], spread: Mapping[str, Spread]
) -> None:
    """Add what the units ``dropped`` give on average to the biases of their readers, before they are cut."""
    for name, columns in dropped_columns(policy, groups, dropped).items():
        layer = weighted(policy, name)
        kept_out = torch.zeros_like(spread[name].mean)
        kept_out[columns] = spread[name].mean[columns]
        parts = layer.groups if isinstance(layer, Conv2d) else 1
        matrix = matrix_of(layer).reshape(parts, -1, len(kept_out) // parts)
        added = (matrix @ kept_out.reshape(parts, -1, 1)).flatten()
        set_weight(layer, layer.weight.detach(), bias_of(layer) + added)
