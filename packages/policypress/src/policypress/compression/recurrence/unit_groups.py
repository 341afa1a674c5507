"""Groups of units of a policy with memory: a unit is what stands and falls together, its gates and its state too.

To :class:`~policypress.compression.pruning.prune.Prune` the same as the groups of the dependency graph, which follows
no state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from policypress.compression.pruning.groups import ChannelGroup
from policypress.compression.reconstruction import matrix_of, weighted
from policypress.compression.recurrence.elements import Elements, elements_of
from policypress.policy import layers
from policypress.policy.policy import Policy, State
from policypress_runtime.errors import NetworkError

Kept = tuple[npt.NDArray[np.int64], ...]


class UnitGroups:
    """The groups of ``policy``, which stays as it is until :meth:`cut`.

    Args:
        policy: with memory.
        power: of the norm that :meth:`magnitude` takes, 1 or 2.
    """

    def __init__(self, policy: Policy, power: int) -> None:
        self.policy, self._power = policy, power
        self._elements = elements_of(policy)
        self._roots: list[list[int]] = []
        self.groups: list[ChannelGroup] = []
        place = {node.name: index for index, node in enumerate(policy.nodes)}
        families: dict[tuple[object, ...], list[int]] = {}
        sides = {root: self._sides(root) for root in self._removable()}
        for root, (producers, readers) in sides.items():
            key = tuple((name, len(found)) for side in (producers, readers) for name, found in side.items())
            families.setdefault((len(producers), *key), []).append(root)
        for roots in sorted(families.values(), key=lambda roots: min(place[name] for name in sides[roots[0]][0])):
            given, read = (
                {name: torch.tensor([sides[root][side][name] for root in roots]) for name in sides[roots[0]][side]}
                for side in (0, 1)
            )
            root_layer = policy.layers[next(iter(given))]
            self.groups.append(ChannelGroup(len(roots), root_layer, 1, given, read, None, False))
            self._roots.append(roots)

    def _removable(self) -> list[int]:
        """Roots of what a matrix gives and nothing forbids to remove, in the order of the network."""
        settled = self._elements.settled()
        found: dict[int, None] = {}
        for name, _ in self.policy.weighted_layers():
            found.update(dict.fromkeys(int(root) for root in self._elements.roots(name).reshape(-1)))
        return [root for root in found if root not in settled]

    def _sides(self, root: int) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
        """Rows of the matrices that give a unit, and columns of those that read it."""
        producers: dict[str, list[int]] = {}
        readers: dict[str, list[int]] = {}
        for name, layer in self.policy.weighted_layers():
            if not isinstance(layer, layers.Linear):
                continue
            for side, value in ((producers, name), (readers, self.policy.node(name).inputs[0])):
                places = np.flatnonzero(self._elements.roots(value).reshape(-1) == root).tolist()
                if places:
                    side[name] = places
        return producers, readers

    def magnitude(self, group: ChannelGroup) -> Tensor:
        """Norm of all weights of each unit, as a share of the group's mean, ``(units,)``."""
        total = torch.zeros(group.units, dtype=torch.float64)
        for name, rows in group.producers.items():
            total += matrix_of(weighted(self.policy, name)).abs().pow(self._power).sum(1)[rows].sum(1)
        for name, columns in group.readers.items():
            total += matrix_of(weighted(self.policy, name)).abs().pow(self._power).sum(0)[columns].sum(1)
        return total / total.mean().clamp(min=torch.finfo(torch.float64).tiny)

    def cut(self, dropped: Sequence[Tensor]) -> None:
        """Remove the units ``dropped`` of each group, in the order of :attr:`groups`.

        Raises:
            NetworkError: layers that share a state would keep different numbers of units.
        """
        gone = {roots[int(u)] for roots, units in zip(self._roots, dropped, strict=True) for u in units}
        if not gone:
            return
        kept = {name: _kept(self._elements, name, gone) for name in self._elements.ids}
        for node in self.policy.nodes:
            before = [kept[name] for name in node.inputs]
            _narrow(self.policy, node.name, before, kept[node.name])
        self.policy.states = tuple(self._narrowed(state, kept[state.spec.name]) for state in self.policy.states)
        with torch.no_grad():
            self.policy.scores(self.policy.example(2))

    def _narrowed(self, state: State, kept: Kept) -> State:
        spec = state.spec
        initial = spec.initial
        if initial:
            initial = tuple(np.array(initial).reshape(spec.shape)[np.ix_(*kept)].reshape(-1).tolist())
        before = self.policy.kept_states.get(spec.name)
        chosen = tuple(tuple(part.tolist()) for part in kept)
        if before is not None:
            chosen = tuple(tuple(old[i] for i in new) for old, new in zip(before, chosen, strict=True))
        self.policy.kept_states[spec.name] = chosen
        return replace(state, spec=replace(spec, shape=tuple(len(part) for part in kept), initial=initial))


def _kept(elements: Elements, name: str, gone: set[int]) -> Kept:
    """What is left of a value, by the indices along each axis."""
    stays = np.vectorize(lambda root: root not in gone, otypes=[bool])(elements.roots(name))
    axes = tuple(
        np.flatnonzero(stays.any(axis=tuple(a for a in range(stays.ndim) if a != axis))) for axis in range(stays.ndim)
    )
    if not bool(stays[np.ix_(*axes)].all()):
        raise NetworkError(
            "Recurrent layers that share a state would keep different units, which the state cannot say.",
            got=f"the value {name} of shape {stays.shape}",
            expected="as many units of each layer",
            hint="Leave out scope=global.",
        )
    return axes


def _narrow(policy: Policy, name: str, before: list[Kept], after: Kept) -> None:
    """Give the layer ``name`` the sizes that what it reads and gives now have."""
    layer: nn.Module = policy.layers[name]
    if isinstance(layer, layers.Linear) and len(after) == 1:
        _narrow_linear(policy, name, layer, before[0][0], after[0])
    elif isinstance(layer, layers.Slice):
        along = before[0][layer.axis - 1]
        start = int((along < layer.start).sum())
        policy.layers[name] = layers.Slice(layer.axis, start, int((along < layer.stop).sum()))
    elif isinstance(layer, layers.Reshape):
        policy.layers[name] = layers.Reshape(tuple(len(part) for part in after))


def _narrow_linear(
    policy: Policy, name: str, layer: layers.Linear, columns: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]
) -> None:
    whole = layer.weight.detach()
    if (len(rows), len(columns)) == tuple(whole.shape):
        return
    if len(rows) < len(whole):
        known = policy.kept_channels.get(name, tuple(range(len(whole))))
        policy.kept_channels[name] = tuple(known[int(row)] for row in rows)
    layer.weight = nn.Parameter(whole[rows][:, columns].clone())
    if layer.bias is not None:
        layer.bias = nn.Parameter(layer.bias.detach()[rows].clone())
    layer.out_features, layer.in_features = len(rows), len(columns)
