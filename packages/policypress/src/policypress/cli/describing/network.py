"""A policy's network as ``inspect`` tells it: what saved it, its layers, and where its observations are normalised."""

from __future__ import annotations

from torch import Tensor

from policypress.policy.layers import Activation, Affine, Slice
from policypress.policy.policy import Policy, input_name
from policypress_runtime.contract import NO_NORMALISER_FOUND

OUTSIDE = ("onnx", "module")
_IN_NETWORK = "in the network, which shifts and scales its observations"
_NOT_IN_NETWORK = "none in the network; --normalizer FILE if its observations were normalised by VecNormalize"
_NONE_FOUND = "none found next to the file; use --normalizer FILE if it was trained with VecNormalize"


def saved_by(version: str | None) -> str:
    """What saved an agent, in brackets: an ONNX file names its program, a Stable-Baselines3 zip only a version.

    >>> saved_by("2.3.0"), saved_by("tf2onnx 1.16"), saved_by(None)
    (' (Stable-Baselines3 2.3.0)', ' (tf2onnx 1.16)', '')
    """
    if not version:
        return ""
    return f" (Stable-Baselines3 {version})" if version[0].isdigit() else f" ({version})"


def layers_in_words(policy: Policy) -> str:
    """Width of each layer that has weights; ``12 of 24`` where what follows reads only some of its channels."""
    widths = [_width(policy, name, layer.weight.shape[0]) for name, layer in policy.weighted_layers()]
    return " → ".join(widths) + " channels"


def activations_in_words(policy: Policy) -> str:
    """The activations between the layers, and what is done to the action after them: ``elu; tanh on the action``."""
    found = [layer for node in policy.nodes if isinstance(layer := policy.layers[node.name], Activation)]
    hidden = dict.fromkeys(layer.extra_repr() for layer in found if not layer.role)
    squash = [f"{layer.name} on the action" for layer in found if layer.role]
    return "; ".join([*([", ".join(hidden)] if hidden else []), *squash]) or "none"


def normalisation_in_words(policy: Policy, *, stated_none: bool) -> str:
    """Where observations are normalised: in the graph that was read, by statistics, or nowhere that is known.

    Args:
        policy: as it was read.
        stated_none: the user says that the agent has no statistics.
    """
    if "normalise" in policy.folded():
        return "folded in"
    if _normalises_itself(policy):
        return _IN_NETWORK
    if NO_NORMALISER_FOUND in policy.origin.assumptions:
        return _NONE_FOUND
    return _NOT_IN_NETWORK if policy.origin.algorithm in OUTSIDE and not stated_none else "none"


def _width(policy: Policy, name: str, width: int) -> str:
    readers = [policy.layers[reader] for reader in policy.readers(name)]
    slices = [reader for reader in readers if isinstance(reader, Slice) and reader.axis == 1]
    if not readers or len(slices) < len(readers):
        return str(width)
    read = len({channel for part in slices for channel in range(part.start, part.stop)})
    return str(width) if read == width else f"{read} of {width}"


def _normalises_itself(policy: Policy) -> bool:
    """Whether each component of an observation has a shift or scale of its own before the first weights."""
    own = {input_name(key) for key in policy.inputs}
    for node in policy.nodes:
        layer = policy.layers[node.name]
        if isinstance(layer, Affine) and node.inputs[0] in own:
            if any(isinstance(part, Tensor) and part.numel() > 1 for part in (layer.scale, layer.shift)):
                return True
            own.add(node.name)
    return False
