"""The criterion ``obs``: backward elimination by the Optimal Brain Surgeon.

Channels go one after another. Each time it is the one whose loss costs least *after* the readers' other weights have
made up for it, and they do at once. For a reader with weights W, damped covariance G of its columns and columns S
of the channel, the least increase of its squared error and the weights that reach it are

    ΔE = Σ_row d_row · W_S (G⁻¹_SS)⁻¹ W_Sᵀ,    W ← W − W_S (G⁻¹_SS)⁻¹ G⁻¹_S:

and G⁻¹ loses S in the same way. d_row says how much a row's error matters: the squared gradient of the decision with
respect to the row's value, averaged over observations, so that costs of different layers compare and rows that
are gone cost nothing. Biases take the means, so that all this is about variation.

After Hassibi & Stork 1993 (Second order derivatives for network pruning: Optimal Brain Surgeon), by channels as in
Frantar & Alistarh 2022 (Optimal Brain Compression, arXiv:2208.11580).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from policypress.compression.calibration import chunks, spread_rows
from policypress.compression.pruning.by_activation import outgoing
from policypress.compression.pruning.groups import ChannelGroup
from policypress.compression.reconstruction import (
    CHUNK_ROWS,
    Spread,
    bias_of,
    matrix_of,
    moments,
    rows_of,
    set_weight,
    spreads,
    weighted,
)
from policypress.compression.step import Observations
from policypress.policy.layers import ArgMax
from policypress.policy.policy import Policy
from policypress_runtime.contract import Box

# Gradients are averages over so many observations; more change no order worth speaking of.
SENSITIVITY_ROWS = 256
# Rows that no decision seems to hang on still cost something: their gradient was seen at few observations.
LEAST_SENSITIVITY = 1e-3


@dataclass
class Reader:
    """A layer that loses columns: its weights as they make up for the loss.

    Args:
        weight: W, ``(rows, columns)``, float64.
        inverse: G⁻¹, ``(columns, columns)``.
        mean: of the columns.
        sensitivity: d, ``(rows,)``; 0 for a row that is gone.
        bias: that goes with ``weight``.
    """

    weight: Tensor
    inverse: Tensor
    mean: Tensor
    sensitivity: Tensor
    bias: Tensor

    def costs(self, columns: Tensor) -> Tensor:
        """ΔE of removing each unit, ``(units,)``, where unit u has the columns ``columns[u]``."""
        if columns.shape[1] == 1:
            places = columns[:, 0]
            return (self.sensitivity @ self.weight[:, places].square()) / self.inverse.diagonal()[places]
        block = self.inverse[columns[:, :, None], columns[:, None, :]]
        weight = self.weight[:, columns].permute(1, 2, 0)
        cost: Tensor = (weight * torch.linalg.solve(block, weight)).sum(1) @ self.sensitivity
        return cost

    def remove(self, columns: Tensor) -> None:
        """Take ``columns`` out; what is left makes up for them."""
        block = self.inverse[columns][:, columns]
        towards = torch.linalg.solve(block, self.inverse[columns])
        before = self.weight.clone()
        self.weight -= self.weight[:, columns] @ towards
        self.inverse -= self.inverse[:, columns] @ towards
        self.weight[:, columns] = 0.0
        self.inverse[columns] = 0.0
        self.inverse[:, columns] = 0.0
        self.inverse[columns, columns] = 1.0
        self.bias += (before - self.weight) @ self.mean


class Elimination:
    """Backward elimination over the ``groups`` of ``policy``, which stays as it is until :meth:`settle`.

    Where something between a group's channels and its readers mixes channels, what is left does not stay the
    same, and the closed form does not hold: such a group's units cost what they give, ΔE without making up for it,
    and :attr:`mixed` names its readers, to be refitted when the group has been cut.
    """

    def __init__(self, policy: Policy, groups: Sequence[ChannelGroup], observations: Observations) -> None:
        self.policy, self.groups = policy, groups
        self.sensitivity = sensitivities(policy, observations)
        self.left = [torch.ones(group.units, dtype=torch.bool) for group in groups]
        names = dict.fromkeys(name for group in groups if not group.mixed for name in group.readers)
        self.readers = {name: self._reader(name, observations) for name in names}
        spread = spreads(policy, observations) if any(group.mixed for group in groups) else {}
        self._costs = [self._fixed(group, spread) if group.mixed else None for group in groups]

    @property
    def mixed(self) -> tuple[str, ...]:
        """Readers of groups whose channels are mixed on the way, in the order in which they run."""
        found = {name for group in self.groups if group.mixed for name in group.readers}
        return tuple(name for name, _ in self.policy.weighted_layers() if name in found)

    def run(self, counts: Sequence[int]) -> list[Tensor]:
        """Remove ``counts[g]`` units of group g, the last groups first; returns the removed units of each group.

        A row that goes needs no making up for, so that what comes later is decided first.
        """
        for index in reversed(range(len(self.groups))):
            for _ in range(counts[index]):
                self._remove(index, int(self._prices(index).argmin()))
        return self._removed()

    def run_global(self, count: int) -> list[Tensor]:
        """Remove ``count`` units, wherever the next costs least; every group keeps one at least."""
        for _ in range(count):
            prices = [self._prices(index) for index in range(len(self.groups))]
            lowest = [float(p.min()) if int(self.left[i].sum()) > 1 else torch.inf for i, p in enumerate(prices)]
            index = min(range(len(lowest)), key=lowest.__getitem__)
            self._remove(index, int(prices[index].argmin()))
        return self._removed()

    def settle(self) -> None:
        """Give the policy's readers the weights that make up for what was removed."""
        for name, reader in self.readers.items():
            set_weight(weighted(self.policy, name), reader.weight, reader.bias)

    def _reader(self, name: str, observations: Observations) -> Reader:
        layer = weighted(self.policy, name)
        found = moments(self.policy, name, observations)
        inverse = torch.linalg.inv(found.damped)
        return Reader(matrix_of(layer), inverse, found.mean, self.sensitivity[name], bias_of(layer))

    def _fixed(self, group: ChannelGroup, spread: Mapping[str, Spread]) -> Tensor:
        total = torch.zeros(group.units, dtype=torch.float64)
        for name in group.readers:
            layer = weighted(self.policy, name)
            energy = spread[name].variance * outgoing(layer, self.sensitivity[name])
            total += energy[group.columns(name, layer)].sum(1)
        return total

    def _prices(self, index: int) -> Tensor:
        """What each unit costs now; infinity for one that is gone."""
        costs = self._costs[index]
        if costs is None:
            group = self.groups[index]
            costs = torch.zeros(group.units, dtype=torch.float64)
            for name in group.readers:
                costs += self.readers[name].costs(group.columns(name, weighted(self.policy, name)))
            self._costs[index] = costs
        return torch.where(self.left[index], costs, torch.inf)

    def _remove(self, index: int, unit: int) -> None:
        group = self.groups[index]
        self.left[index][unit] = False
        if not group.mixed:
            for name in group.readers:
                self.readers[name].remove(group.columns(name, weighted(self.policy, name))[unit])
        for name, channels in group.producers.items():
            self.sensitivity[name][channels[unit]] = 0.0
        for other, affected in enumerate(self.groups):
            if not affected.mixed and affected.readers.keys() & (group.readers.keys() | group.producers.keys()):
                self._costs[other] = None

    def _removed(self) -> list[Tensor]:
        return [(~left).nonzero().flatten() for left in self.left]


def sensitivities(policy: Policy, observations: Observations) -> dict[str, Tensor]:
    """Mean squared gradient of the decision by each output of each weighted layer, ``(rows,)`` by the layer's name.

    The decision is the action in units of its range, or the scores without their common part; at a convolution
    the squares of all places are summed.
    """
    probe = policy.clone().requires_grad_()
    names = [name for name, _ in probe.weighted_layers()]
    sums = {name: torch.zeros(len(weighted(probe, name).weight), dtype=torch.float64) for name in names}
    count = 0
    for batch in chunks(spread_rows(observations, SENSITIVITY_ROWS), CHUNK_ROWS):
        with torch.enable_grad():
            values = probe.run(batch)
            decision = decisive(probe, values).flatten(1)
        count += len(decision)
        for column in decision.sum(0):
            gradients = torch.autograd.grad(column, [values[n] for n in names], retain_graph=True, allow_unused=True)
            for name, gradient in zip(names, gradients, strict=True):
                if gradient is not None:
                    sums[name] += rows_of(gradient).double().square().sum(0)
    return {name: _floored(total / max(count, 1)) for name, total in sums.items()}


def decisive(policy: Policy, values: Mapping[str, Tensor]) -> Tensor:
    """What the action is decided by, ``(batch, ...)``, in comparable units."""
    if isinstance(policy.action_space, Box):
        low, high = policy.action_space.bounds()
        span = torch.from_numpy(high - low)
        return values[policy.nodes[-1].name] / torch.where(torch.isfinite(span), span, 1.0)
    scores = values[policy.scores_node or policy.nodes[-1].name]
    head = policy.layers[policy.nodes[-1].name]
    if not isinstance(head, ArgMax):
        return scores
    return torch.cat([part - part.mean(1, keepdim=True) for part in torch.split(scores, list(head.counts), 1)], 1)


def _floored(sensitivity: Tensor) -> Tensor:
    mean = float(sensitivity.mean())
    return sensitivity.clamp(min=LEAST_SENSITIVITY * mean) if mean > 0 else torch.ones_like(sensitivity)
