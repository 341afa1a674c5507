"""Folding constant scales and shifts into the linear layers beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from policypress.policy.layers import Affine, Linear
from policypress.policy.policy import Node, Policy


def fold_affines(policy: Policy) -> Policy:
    """Copy of ``policy`` in which every ``Affine`` on hidden features is part of a linear layer.

    ``linear(x · s + t) = x (W · s)ᵀ + (b + W t)`` where the affine's only reader is linear;
    ``(x Wᵀ + b) · s + t`` where it is the only reader of a linear layer. Affines with a role
    (pre- and post-processing) stay. Equal up to float rounding.
    """
    result = policy.clone()
    for node in list(result.nodes):
        layer = result.layers[node.name]
        if isinstance(layer, Affine) and not layer.role:
            _fold_forward(result, node, layer) or _fold_backward(result, node, layer)
    return result


def _vector(values: object, width: int, default: float) -> Tensor | None:
    """The constant as one number per feature, or None where it has another shape."""
    if values is None:
        return torch.full((width,), default)
    if not isinstance(values, Tensor) or values.numel() not in (1, width):
        return None
    return values.detach().reshape(-1).expand(width).clone()


def _fold_forward(policy: Policy, node: Node, affine: Affine) -> bool:
    readers = policy.readers(node.name)
    target = policy.layers[readers[0]] if len(readers) == 1 else None
    if not isinstance(target, Linear) or target.quant.active:
        return False
    scale = _vector(affine.scale, target.in_features, 1.0)
    shift = _vector(affine.shift, target.in_features, 0.0)
    if scale is None or shift is None:
        return False
    with torch.no_grad():
        _add_bias(target, target.weight @ shift)
        target.weight.mul_(scale)
    remove_node(policy, node.name)
    return True


def _fold_backward(policy: Policy, node: Node, affine: Affine) -> bool:
    source_name = node.inputs[0]
    source = dict(policy.layers.items()).get(source_name)
    if not isinstance(source, Linear) or source.quant.active or len(policy.readers(source_name)) != 1:
        return False
    if policy.leaves(source_name):
        return False
    scale = _vector(affine.scale, source.out_features, 1.0)
    shift = _vector(affine.shift, source.out_features, 0.0)
    if scale is None or shift is None:
        return False
    with torch.no_grad():
        source.weight.mul_(scale[:, None])
        if source.bias is not None:
            source.bias.mul_(scale)
        _add_bias(source, shift)
    remove_node(policy, node.name)
    return True


def _add_bias(layer: Linear, values: Tensor) -> None:
    bias = cast(Tensor | None, layer.bias)
    if bias is not None:
        bias.add_(values)
    elif bool((values != 0).any()):
        layer.bias = torch.nn.Parameter(values.clone())


def remove_node(policy: Policy, name: str) -> None:
    """Take the node ``name`` out of ``policy``; its readers read its first input."""
    node = policy.node(name)
    policy.nodes = tuple(
        Node(other.name, tuple(node.inputs[0] if value == name else value for value in other.inputs))
        for other in policy.nodes
        if other.name != name
    )
    del policy.layers[name]
    if policy.scores_node == name:
        policy.scores_node = node.inputs[0]
    policy.states = tuple(
        replace(state, node=node.inputs[0]) if state.node == name else state for state in policy.states
    )
