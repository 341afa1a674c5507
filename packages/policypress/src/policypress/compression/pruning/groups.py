"""Which channels of a policy go together, found by torch-pruning's dependency graph (DepGraph, arXiv:2301.12900)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn

from policypress.compression.reconstruction import weighted
from policypress.policy.folding import remove_node
from policypress.policy.layers import Binary, Concat, Conv2d, LayerNorm, Linear, Mean, Softmax, Weighted
from policypress.policy.policy import SINGLE_KEY, Policy


@dataclass(frozen=True, eq=False)
class ChannelGroup:
    """Channels that can be removed together, in units: unit u takes one channel of everything listed.

    Args:
        units: how many there are.
        root: the layer whose output channels number the group.
        folds: channels of the root in one unit (more than 1 for grouped convolutions): u, u + units, ...
        producers: names of the layers whose output channels these are → ``(units, channels)``.
        readers: names of the layers that read them → ``(units, features)``, indices into what they read.
        dependency: torch-pruning's group.
        mixed: something between producers and readers mixes channels (a normalisation), so that removing one
            changes the others.
    """

    units: int
    root: nn.Module
    folds: int
    producers: Mapping[str, Tensor]
    readers: Mapping[str, Tensor]
    dependency: Any
    mixed: bool

    def columns(self, name: str, layer: Weighted) -> Tensor:
        """Columns of the reader ``name``'s weight matrix by unit, ``(units, columns)``."""
        features = self.readers[name]
        kernel = layer.weight[0, 0].numel()
        places = features[..., None] * kernel + torch.arange(kernel)
        return places.flatten(1)


class PruningGroups:
    """The groups of ``policy``, which is changed: anchors go in (:func:`_anchor_observation`) until :meth:`cut`.

    :attr:`groups` are in the order in which their first layers run.

    Raises:
        RuntimeError, ValueError, AttributeError, TypeError, IndexError: as the library cannot follow the network.
    """

    def __init__(self, policy: Policy, importance: Any) -> None:
        self.policy = policy
        last = [layer for name, layer in policy.weighted_layers() if policy.is_last(name)]
        self._anchors = _anchor_observation(policy)
        with warnings.catch_warnings():
            # PReLU's slopes are such parameters, and their last axis that is not 1 is the channel.
            warnings.filterwarnings("ignore", "Unwrapped parameters detected", UserWarning)
            self.pruner = torch_pruning.pruner.BasePruner(
                policy,
                example_inputs=_example(policy),
                importance=importance,
                pruning_ratio=0.5,
                ignored_layers=[*last, *(policy.layers[name] for name in self._anchors)],
                forward_fn=_scores,
            )
        names = {layer: name for name, layer in policy.layers.items()}
        place = {node.name: index for index, node in enumerate(policy.nodes)}
        described = [self._describe(group, names) for group in self._prunable()]
        self.groups = sorted(described, key=lambda group: min(place[name] for name in group.producers))

    def _prunable(self) -> list[Any]:
        found = self.pruner.DG.get_all_groups(
            ignored_layers=self.pruner.ignored_layers, root_module_types=self.pruner.root_module_types
        )
        return [group for group in found if self.pruner._check_pruning_ratio(group)]

    def _describe(self, group: Any, names: Mapping[nn.Module, str]) -> ChannelGroup:
        graph, root = self.pruner.DG, group[0].dep.target.module
        folds = int(self.pruner._get_channel_groups(group))
        units = len(group[0].idxs) // folds
        producers: dict[str, Tensor] = {}
        readers: dict[str, Tensor] = {}
        for item in group.items:
            layer = item.dep.target.module
            if isinstance(layer, Linear | Conv2d):
                side = producers if graph.is_out_channel_pruning_fn(item.dep.handler) else readers
                side[names[layer]] = _by_unit(item.idxs, item.root_idxs, units)
        mixed = _is_mixed(self.policy, producers, readers)
        return ChannelGroup(units, root, folds, producers, readers, group, mixed)

    def magnitude(self, group: ChannelGroup) -> Tensor:
        """The library's importance of each unit, ``(units,)``."""
        importance: Tensor = self.pruner.estimate_importance(group.dependency)
        return importance.view(group.folds, -1).mean(0)

    def cut(self, dropped: Sequence[Tensor]) -> None:
        """Remove the units ``dropped`` of each group, in the order of :attr:`groups`, and the anchors."""
        graph = self.pruner.DG
        for group, units in zip(self.groups, dropped, strict=True):
            roots = sorted(int(unit) + fold * group.units for unit in units for fold in range(group.folds))
            handler = group.dependency[0].dep.handler
            if roots and graph.check_pruning_group(chosen := graph.get_pruning_group(group.root, handler, roots)):
                _record(self.policy, group, units)
                chosen.prune()
        for name in self._anchors:
            remove_node(self.policy, name)
        self.policy.zero_grad()
        with torch.no_grad():
            self.policy.scores(_example(self.policy))


def dropped_columns(policy: Policy, groups: Sequence[ChannelGroup], dropped: Sequence[Tensor]) -> dict[str, Tensor]:
    """Columns that each reader loses with the units ``dropped`` of each group, by the reader's name."""
    lost: dict[str, list[Tensor]] = {}
    for group, units in zip(groups, dropped, strict=True):
        for name in group.readers:
            layer = weighted(policy, name)
            lost.setdefault(name, []).append(group.columns(name, layer)[units].flatten())
    return {name: torch.cat(parts) for name, parts in lost.items()}


def _by_unit(indices: Sequence[int], roots: Sequence[int], units: int) -> Tensor:
    """Indices of a layer's channels by the unit of their root channel, ``(units, channels)``.

    Raises:
        ValueError: units of different sizes.
    """
    listed: list[list[int]] = [[] for _ in range(units)]
    for index, root in zip(indices, roots, strict=True):
        listed[root % units].append(index)
    return torch.tensor(listed)


def _is_mixed(policy: Policy, producers: Mapping[str, Tensor], readers: Mapping[str, Tensor]) -> bool:
    """Whether a unit's removal changes what the readers get of the others, or a reader sees channels by groups."""
    if any(policy.layers[name].groups != 1 for name in readers if isinstance(policy.layers[name], Conv2d)):
        return True
    reached = set(producers)
    for node in policy.nodes:
        if node.name in readers or not reached & set(node.inputs):
            continue
        layer = policy.layers[node.name]
        if isinstance(layer, LayerNorm | Softmax) or (isinstance(layer, Mean) and 1 in layer.axes):
            return True
        reached.add(node.name)
    return False


def _record(policy: Policy, group: ChannelGroup, units: Tensor) -> None:
    """Note in ``policy`` which channels stay of the layers that ``group`` is about to shorten."""
    for name, channels in group.producers.items():
        before = policy.kept_channels.get(name, tuple(range(len(weighted(policy, name).weight))))
        gone = set(channels[units].flatten().tolist())
        policy.kept_channels[name] = tuple(channel for place, channel in enumerate(before) if place not in gone)


def _anchor_observation(policy: Policy) -> list[str]:
    """Put a layer of known width behind every part of the observation that is joined with hidden features.

    The dependency graph consists of what has parameters. Without them it takes the first hidden features behind a
    concatenation for the first columns, and a sum with the observation for a free choice of channels.

    Returns:
        Names of the nodes that were put in; they are the identity.
    """
    raw = {spec.name for spec in policy.inputs.values()}
    with torch.no_grad():
        values = policy.run(_example(policy))
    anchors: list[str] = []
    for node in policy.nodes:
        layer = policy.layers[node.name]
        if not isinstance(layer, Linear | Conv2d) and raw.issuperset(node.inputs):
            raw.add(node.name)
        elif isinstance(layer, Concat | Binary):
            for value in dict.fromkeys(value for value in node.inputs if value in raw):
                anchors.append(f"{node.name}_anchor_{len(anchors)}")
                width = values[value].shape[1]
                norm = nn.BatchNorm2d(width) if values[value].dim() == 4 else nn.BatchNorm1d(width)
                policy.insert_before(node.name, value, anchors[-1], norm.eval())
    return anchors


def _scores(policy: nn.Module, observation: Any) -> Tensor:
    if not isinstance(policy, Policy):
        raise TypeError("the pruner hands back the policy it was given")
    return policy.scores(observation)


def _example(policy: Policy) -> Any:
    """Two observations of zeros, which trace the graph without favouring any value."""
    sample = {key: torch.zeros(2, *spec.shape, dtype=getattr(torch, spec.dtype)) for key, spec in policy.inputs.items()}
    return sample.get(SINGLE_KEY, sample)
