"""Which elements of a policy's values stand and fall together, through the steps of an episode.

Every element of every value gets a number. What only moves elements moves the numbers; a function of each element alone
keeps them; a sum or product ties the numbers of its operands; a state's next value is tied to the state. What a matrix
reads and what it gives are not tied. Elements that nothing can be taken from (the observation, the action, what
mixes elements) are fixed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from policypress.policy import layers
from policypress.policy.policy import Policy

Ids = npt.NDArray[np.int64]
_MOVING = (layers.Slice, layers.Reshape, layers.Concat, layers.Transpose, layers.Flatten)


@dataclass
class Elements:
    """Numbers of the elements of every value, shaped as the value for one observation, and what ties them.

    Args:
        ids: by the value's name.
        parents: of each number; the root stands for all that are tied.
        fixed: numbers that have to stay.
    """

    ids: dict[str, Ids] = field(default_factory=dict)
    parents: list[int] = field(default_factory=list)
    fixed: set[int] = field(default_factory=set)

    def fresh(self, shape: tuple[int, ...]) -> Ids:
        """New numbers that nothing is tied to."""
        count = int(np.prod(shape))
        start = len(self.parents)
        self.parents.extend(range(start, start + count))
        return np.arange(start, start + count, dtype=np.int64).reshape(shape)

    def root(self, number: int) -> int:
        """The number that stands for all that are tied to ``number``."""
        while self.parents[number] != number:
            self.parents[number] = self.parents[self.parents[number]]
            number = self.parents[number]
        return number

    def tie(self, one: Ids, other: Ids) -> None:
        """Tie elements of one shape, pair by pair."""
        for first, second in zip(one.reshape(-1).tolist(), other.reshape(-1).tolist(), strict=True):
            self.parents[self.root(first)] = self.root(second)

    def roots(self, name: str) -> Ids:
        """The roots of a value's elements, in its shape."""
        ids = self.ids[name]
        return np.array([self.root(int(i)) for i in ids.reshape(-1)], np.int64).reshape(ids.shape)

    def settled(self) -> set[int]:
        """Roots of what has to stay."""
        return {self.root(number) for number in self.fixed}


def elements_of(policy: Policy) -> Elements:
    """The elements of every value of ``policy``."""
    found = Elements()
    for spec in policy.inputs.values():
        found.ids[spec.name] = found.fresh(spec.shape)
        _fix(found, found.ids[spec.name])
    for state in policy.states:
        found.ids[state.spec.name] = found.fresh(state.spec.shape)
    with torch.no_grad():
        values = policy.run(policy.example(1))
    for node in policy.nodes:
        shape = tuple(values[node.name].shape[1:])
        found.ids[node.name] = _through(found, policy.layers[node.name], [found.ids[n] for n in node.inputs], shape)
    for state in policy.states:
        found.tie(found.ids[state.spec.name], found.ids[state.node])
    for name in (policy.nodes[-1].name, policy.scores_node):
        if name is not None:
            _fix(found, found.ids[name])
    return found


def _fix(found: Elements, ids: Ids) -> None:
    found.fixed.update(ids.reshape(-1).tolist())


def _through(found: Elements, layer: nn.Module, inputs: list[Ids], shape: tuple[int, ...]) -> Ids:
    if isinstance(layer, layers.Linear) and inputs[0].ndim == 1:
        return found.fresh(shape)
    if isinstance(layer, _MOVING):
        moved: Any = layer(*(torch.from_numpy(ids)[None] for ids in inputs))
        return np.asarray(moved[0].numpy(), np.int64)
    if _is_elementwise(layer):
        return inputs[0]
    if isinstance(layer, layers.Binary) and inputs[0].shape == inputs[1].shape:
        found.tie(inputs[0], inputs[1])
        return inputs[0]
    for ids in inputs:
        _fix(found, ids)
    result = found.fresh(shape)
    _fix(found, result)
    return result


def _is_elementwise(layer: nn.Module) -> bool:
    """Whether a layer does the same to every element, with no number of its own for each."""
    if isinstance(layer, layers.Activation):
        return True
    tensors = [tensor for tensor in layer.state_dict().values()]
    return isinstance(layer, layers.Affine | layers.Clip | layers.PRelu) and all(t.numel() == 1 for t in tensors)
