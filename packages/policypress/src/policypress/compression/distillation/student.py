"""The student of a distillation: a policy's graph with inputs of one size, and if wanted a small new network in it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from policypress.compression.calibration import chunks
from policypress.compression.step import Observations
from policypress.policy.folding import fold_affines, remove_node
from policypress.policy.layers import Activation, Affine, Conv2d, LayerNorm, Linear, Normalise, OneHot, PRelu
from policypress.policy.policy import Node, Policy
from policypress.policy.quantization import LayerQuant, bias_spec
from policypress_runtime.errors import NetworkError

ROLE = "standardise"
OUTPUT_ROLE = "student_units"
_BETWEEN = (Linear, Activation, LayerNorm, PRelu)


def student_of(
    policy: Policy,
    observations: Observations,
    units: tuple[Tensor, Tensor] | None,
    hidden: Sequence[int],
    activation: str,
    generator: torch.Generator,
) -> Policy:
    """The network to train: ``policy``, or with ``hidden`` a fresh one inside it, with inputs and outputs of size 1.

    Args:
        policy: the float network that the recipe has so far.
        observations: what it meets.
        units: scale and shift per output in which the output is of size 1; None where it is already.
        hidden: widths of the fresh network, or nothing.
        activation: of the fresh network.
        generator: of the fresh network's weights.

    Raises:
        NetworkError: there is no chain of linear layers to put the fresh network in the place of.
    """
    result = standardised(policy, observations)
    if hidden:
        result = with_hidden(result, hidden, activation, generator)
    last = _last_linear(result)
    if last is not None and units is not None:
        _take_units(result, last, *units, fresh=bool(hidden))
    return result


def standardised(policy: Policy, observations: Observations) -> Policy:
    """Copy of ``policy`` whose first linear layers read features of mean 0 and standard deviation 1.

    What a layer reads of the observation gets an ``Affine`` in front, and the layer's weight and bias take it back,
    so that the function stays. Scales that were there (``equalize``) become part of it. What is normalised already,
    one-hot, or an image is left alone.

    Args:
        policy: float network.
        observations: what it meets; they tell mean and deviation.
    """
    result = fold_affines(policy)
    targets = {name: result.node(name).inputs[0] for name, layer in result.weighted_layers() if _is_raw(result, name)}
    moments = _moments(result, set(targets.values()), observations)
    with torch.no_grad():
        for name, value in targets.items():
            _standardise(result, name, value, *moments[value])
    return result


def without_standardisation(policy: Policy) -> Policy:
    """Copy of ``policy`` with what :func:`standardised` put in front of its layers folded into them."""
    result = policy.clone()
    for node in result.nodes:
        layer = result.layers[node.name]
        if isinstance(layer, Affine) and layer.role == ROLE:
            layer.role = ""
    return fold_affines(result)


def _last_linear(policy: Policy) -> str | None:
    """The one linear layer that the output comes from, if there is one and nothing else reads its value."""
    last = [name for name, _ in policy.weighted_layers() if policy.is_last(name)]
    if len(last) != 1 or not isinstance(policy.layers[last[0]], Linear) or len(policy.readers(last[0])) > 1:
        return None
    return last[0]


def _take_units(policy: Policy, last: str, scale: Tensor, shift: Tensor, *, fresh: bool) -> None:
    layer = policy.layers[last]
    if not isinstance(layer, Linear):
        raise TypeError("only a linear layer has output units")
    if not fresh:
        with torch.no_grad():
            bias = torch.zeros(layer.out_features) if layer.bias is None else layer.bias
            layer.weight.div_(scale[:, None])
            layer.bias = nn.Parameter((bias - shift) / scale)
    affine = Affine(scale.numpy(), shift.numpy(), role=OUTPUT_ROLE)
    name = _free_name(policy, "student_units")
    if policy.scores_node == last:
        policy.scores_node = name
    for reader in policy.readers(last):
        policy.insert_before(reader, last, name, affine)


def with_units_folded(policy: Policy) -> Policy:
    """Copy of ``policy`` whose last layer gives the output in its own units, integers as they are."""
    result = policy.clone()
    for node in result.nodes:
        affine = result.layers[node.name]
        if not isinstance(affine, Affine) or affine.role != OUTPUT_ROLE:
            continue
        layer = result.layers[node.inputs[0]]
        if (
            not isinstance(layer, Linear)
            or not isinstance(affine.scale, Tensor)
            or not isinstance(affine.shift, Tensor)
        ):
            raise TypeError("a student's units stand behind a linear layer")
        with torch.no_grad():
            layer.weight.mul_(affine.scale[:, None])
            layer.bias.mul_(affine.scale).add_(affine.shift)
        quant = layer.quant
        if quant.input is not None and quant.weight is not None:
            weight = replace(quant.weight, scale=quant.weight.scale * affine.scale)
            layer.quant = LayerQuant(quant.input, weight, bias_spec(quant.input, weight))
        remove_node(result, node.name)
    return result


def _is_raw(policy: Policy, name: str) -> bool:
    """Whether the layer ``name`` is linear and reads the observation, not scaled yet."""
    if not isinstance(policy.layers[name], Linear):
        return False
    frontier, first = [policy.node(name).inputs[0]], True
    while frontier:
        value = frontier.pop()
        if value not in policy.layers:
            return True
        layer = policy.layers[value]
        if first and isinstance(layer, Normalise | OneHot):
            return False
        if not isinstance(layer, Linear | Conv2d):
            frontier.extend(policy.node(value).inputs)
        first = False
    return False


def _moments(policy: Policy, wanted: set[str], observations: Observations) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and standard deviation per feature of the values ``wanted``."""
    sums: dict[str, list[Tensor]] = {name: [] for name in wanted}
    squares: dict[str, list[Tensor]] = {name: [] for name in wanted}
    count = 0
    with torch.no_grad():
        for batch in chunks(observations) if wanted else ():
            values = policy.run(batch)
            for name in wanted:
                value = values[name].double()
                sums[name].append(value.sum(0))
                squares[name].append(value.square().sum(0))
            count += len(values[policy.nodes[-1].name])
    means = {name: torch.stack(parts).sum(0) / count for name, parts in sums.items()}
    spreads = {
        name: (torch.stack(parts).sum(0) / count - means[name].square()).clamp(min=0).sqrt()
        for name, parts in squares.items()
    }
    return {name: (means[name], spreads[name]) for name in wanted}


def _standardise(policy: Policy, name: str, value: str, mean: Tensor, deviation: Tensor) -> None:
    layer = policy.layers[name]
    if not isinstance(layer, Linear):
        raise TypeError("only linear layers are given standardised features")
    # A feature that never moved gives no evidence to scale by.
    deviation = torch.where(deviation > 1e-6 * (1 + mean.abs()), deviation, 1.0)
    weight, bias = layer.weight.double(), layer.bias
    shifted = weight @ mean + (0.0 if bias is None else bias.double())
    layer.weight.copy_(weight * deviation)
    layer.bias = nn.Parameter(shifted.float())
    scale, shift = 1.0 / deviation, -mean / deviation
    before = dict(policy.layers.items()).get(value)
    if isinstance(before, Affine) and len(policy.readers(value)) == 1 and _one_scale_per_feature(before, len(mean)):
        # The scale that ``equalize`` left there: one multiplication is enough.
        if isinstance(before.shift, Tensor):
            shift = shift + before.shift.double() / deviation
        if isinstance(before.scale, Tensor):
            scale = scale * before.scale.double()
        policy.layers[value] = Affine(scale.float().numpy(), shift.float().numpy(), role=ROLE)
        return
    affine = Affine(scale.float().numpy(), shift.float().numpy(), role=ROLE)
    policy.insert_before(name, value, f"{name}_{ROLE}", affine)


def _one_scale_per_feature(layer: Affine, features: int) -> bool:
    constants = [part for part in (layer.scale, layer.shift) if isinstance(part, Tensor)]
    return all(part.dim() <= 1 and part.numel() in (1, features) for part in constants)


@dataclass(frozen=True)
class Tail:
    """The chain of linear layers that ends in the output: its nodes in order, and the value it reads."""

    nodes: tuple[str, ...]
    source: str


def tail_of(policy: Policy) -> Tail:
    """The chain that a new network takes the place of.

    It ends in the last weighted layer and goes back through linear layers, activations and normalisations that nothing
    else reads, to the first linear layer that such a chain does not precede: one that reads a flattened convolution, a
    concatenation, or the observation.

    Raises:
        NetworkError: the output does not come from one linear layer.
    """
    last = [name for name, _ in policy.weighted_layers() if policy.is_last(name)]
    if len(last) != 1 or not isinstance(policy.layers[last[0]], Linear):
        raise NetworkError(
            "The network cannot be replaced by a smaller one: its output does not come from one linear layer.",
            got=", ".join(last) or "no weighted layer",
            expected="one linear layer before the action",
            hint="Leave hidden=[...] out: the pruned network itself can be distilled.",
        )
    chain, position = [last[0]], 0
    value = policy.node(last[0]).inputs[0]
    while value in policy.layers and isinstance(policy.layers[value], _BETWEEN) and len(policy.readers(value)) == 1:
        chain.append(value)
        if isinstance(policy.layers[value], Linear):
            position = len(chain) - 1
        value = policy.node(value).inputs[0]
    nodes = chain[: position + 1][::-1]
    return Tail(tuple(nodes), policy.node(nodes[0]).inputs[0])


def with_hidden(policy: Policy, hidden: Sequence[int], activation: str, generator: torch.Generator) -> Policy:
    """Copy of ``policy`` with a fresh network of ``hidden`` units a layer in place of its :func:`tail_of`.

    Raises:
        NetworkError: the output does not come from one linear layer.
    """
    result = policy.clone()
    tail = tail_of(result)
    first, last = result.layers[tail.nodes[0]], result.layers[tail.nodes[-1]]
    if not isinstance(first, Linear) or not isinstance(last, Linear):
        raise TypeError("a tail starts and ends with a linear layer")
    place = [node.name for node in result.nodes].index(tail.nodes[0])
    kept = [node for node in result.nodes if node.name not in tail.nodes]
    for name in tail.nodes:
        del result.layers[name]
    nodes: list[Node] = []
    value, width = tail.source, first.in_features
    for units in hidden:
        for kind, layer in (("linear", _linear(width, units, generator)), ("activation", Activation(activation))):
            name = _free_name(result, f"student_{kind}")
            result.layers[name] = layer
            nodes.append(Node(name, (value,)))
            value = name
        width = units
    result.layers[tail.nodes[-1]] = _linear(width, last.out_features, generator)
    nodes.append(Node(tail.nodes[-1], (value,)))
    result.nodes = (*kept[:place], *nodes, *kept[place:])
    return result


def _free_name(policy: Policy, name: str) -> str:
    return next(free for n in itertools.count(1) if (free := f"{name}_{n}") not in policy.layers)


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> Linear:
    """As torch initialises it, from a stream of its own."""
    layer = Linear(inputs, outputs)
    bound = 1 / math.sqrt(inputs)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer
