"""Which tensors of a checkpoint act, and whether they form one network from the features to the actions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from policypress.agents.archive import listing
from policypress.agents.bundle import Array
from policypress.agents.sb3.defaults import PolicyFacts
from policypress_runtime.errors import DamagedAgentError

_LINEAR = re.compile(r"(\d+)\.weight")
_NORMALISATION = re.compile(r"(\d+)\.(?:ra_mean|ra_var|scale|bias)")
_NORMALISATION_PARTS = ("ra_mean", "ra_var", "scale", "bias")


@dataclass(frozen=True)
class Layout:
    """The acting tensors under their names, and the number of hidden linear layers."""

    state: Mapping[str, Array]
    hidden_layers: int
    output_bias: bool


def read_layout(
    tensors: Mapping[str, Array],
    facts: PolicyFacts,
    extractor_prefix: str,
    features: int,
    outputs: int | None,
) -> Layout:
    """Select the acting tensors and check that each layer fits the next.

    Args:
        tensors: every tensor of the checkpoint.
        facts: where the family keeps its layers.
        extractor_prefix: where the acting features extractor stands.
        features: width of what the extractor gives.
        outputs: width of the last layer, or None where any multiple is right (quantiles).

    Raises:
        DamagedAgentError: a tensor is missing, or its shape does not fit.
    """
    prefixes = (*facts.hidden, facts.output, extractor_prefix)
    state = {
        name: array for name, array in tensors.items() if name.startswith(prefixes) and not name.endswith(".steps")
    }
    width, layers = features, 0
    weight = ""
    for weight, bias in _layers(state, facts):
        if state[weight].shape in ((1,), (width,)) and bias not in state:
            continue  # slopes of a PReLU, the one activation that is learned
        if state[weight].shape == (width,):
            continue  # layer or batch normalisation, in networks of an author's own
        width = _through(state, weight, bias, width)
        layers += 1
    if layers == 0 or not weight.startswith(facts.output):
        raise DamagedAgentError(
            "The agent's output layer is missing.",
            got="tensors " + listing(sorted(tensors)),
            expected=f"a weight under {facts.output!r}",
        )
    if outputs is not None and width != outputs:
        raise DamagedAgentError(
            "The agent's output layer does not fit its action space.",
            got=f"{weight} gives {width} numbers",
            expected=str(outputs),
        )
    return Layout(state, layers - 1, weight.removesuffix("weight") + "bias" in state)


def _layers(state: Mapping[str, Array], facts: PolicyFacts) -> Iterator[tuple[str, str]]:
    """Names of weight and bias of each layer in the order in which they act."""
    stacks = (*facts.hidden,) if facts.output in facts.hidden else (*facts.hidden, facts.output)
    for stack in stacks:
        indices: list[int] = []
        for name in state:
            if name.startswith(stack) and (match := _LINEAR.fullmatch(name.removeprefix(stack))):
                indices.append(int(match.group(1)))
        if f"{stack}weight" in state:
            yield f"{stack}weight", f"{stack}bias"
        for index in sorted(indices):
            yield f"{stack}{index}.weight", f"{stack}{index}.bias"


def _through(state: Mapping[str, Array], weight: str, bias: str, width: int) -> int:
    array = state[weight]
    if array.ndim != 2 or array.shape[1] != width:
        raise DamagedAgentError(
            f"The agent's layer {weight!r} does not fit what comes before it.",
            got=f"shape {array.shape}",
            expected=f"two dimensions, the second of size {width}",
        )
    if bias in state and state[bias].shape != (array.shape[0],):
        raise DamagedAgentError(
            f"The agent's bias {bias!r} does not fit its weight.",
            got=f"shape {state[bias].shape}",
            expected=f"({array.shape[0]},)",
        )
    return int(array.shape[0])


def check_normalisation(state: Mapping[str, Array], stack: str, features: int) -> None:
    """Check CrossQ's batch renormalisation layers: each complete, and as wide as what comes before it.

    Raises:
        DamagedAgentError: a part is missing, has another width, or a variance is negative.
    """
    width = features
    indices = sorted(
        {int(m.group(1)) for n in state if n.startswith(stack) and (m := re.match(r"(\d+)\.", n.removeprefix(stack)))}
    )
    for index in indices:
        weight = state.get(f"{stack}{index}.weight")
        if weight is not None:
            # A weight with one axis holds the slopes of a PReLU.
            width = int(weight.shape[0]) if weight.ndim == 2 else width
            continue
        for part in _NORMALISATION_PARTS:
            array = state.get(f"{stack}{index}.{part}")
            if array is None or array.shape != (width,) or (part == "ra_var" and bool((array < 0).any())):
                raise DamagedAgentError(
                    f"The agent's normalisation layer {stack}{index} is damaged.",
                    got=f"{part}: {'missing' if array is None else f'shape {array.shape}'}",
                    expected=f"ra_mean, ra_var >= 0, scale and bias of width {width}",
                )
