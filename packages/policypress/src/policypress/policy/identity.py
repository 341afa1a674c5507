"""The identity of a policy: equal exactly when graph, layers and parameters are equal."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from torch import nn

from policypress.policy.policy import Policy
from policypress.policy.quantization import LayerQuant, QuantSpec
from policypress_runtime.contract import space_to_json


def fingerprint(policy: Policy) -> str:
    """Sha256, in hex, over spaces, graph, layers, what is quantized, and every parameter and buffer.

    Where the policy came from does not count: the same network from two files has one fingerprint, and one
    file read with two normalisers has two.
    """
    digest = hashlib.sha256()
    head: dict[str, Any] = {
        "observation_space": space_to_json(policy.observation_space),
        "action_space": space_to_json(policy.action_space),
        "nodes": [[node.name, list(node.inputs), _settings(policy.layers[node.name])] for node in policy.nodes],
        "scores": policy.scores_node,
    }
    if policy.states:  # policies without memory keep the fingerprint that they had before there was any
        head["states"] = [[asdict(state.spec), state.node] for state in policy.states]
    digest.update(json.dumps(head, sort_keys=True).encode())
    for name, tensor in sorted(policy.state_dict().items()):
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _settings(layer: nn.Module) -> dict[str, Any]:
    """Everything that makes the layer act as it does beside its tensors: class, strides, limits, quantization."""
    plain = {
        name: value
        for name, value in vars(layer).items()
        if not name.startswith("_")
        and name not in ("training", "learned")
        and isinstance(value, bool | int | float | str | tuple | dict | None)
    }
    quant = getattr(layer, "quant", None)
    specs = vars(quant).items() if isinstance(quant, LayerQuant) else ()
    learned = getattr(layer, "learned", None)
    return {
        "class": type(layer).__name__,
        **plain,
        **({} if learned is None else {"learned": asdict(learned)}),
        "quant": {name: _spec(spec) for name, spec in specs if spec is not None},
    }


def _spec(spec: QuantSpec) -> list[Any]:
    return [
        spec.bits,
        spec.signed,
        spec.scale.detach().double().tolist(),
        spec.zero_point.tolist(),
        spec.axis,
        spec.narrow,
    ]
