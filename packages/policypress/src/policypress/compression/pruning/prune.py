"""``prune(criterion, ratio)``: structured pruning by dependency groups.

Channels are removed together with everything that depends on them (DepGraph, arXiv:2301.12900, the torch-pruning
library); the output width is kept. What decides is the criterion:

- ``l1``, ``l2``: the norm of the group's weights, normalised by the layer's mean, as published (Lu et al. 2024,
  section 2.2);
- ``activation``: how much the channel varies times the norm of what reads it (:mod:`.prune_activation`);
- ``obs``: what its loss costs when the readers make up for it, one channel after another (:mod:`.prune_obs`).

``scope=uniform``: every layer loses the same share of its channels. ``scope=global``: the layers' channels are
ranked together, and each layer keeps one at least.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import ClassVar

import torch
import torch_pruning
from torch import Tensor

from policypress.compression.calibration import with_neighbours
from policypress.compression.methods import CRITERIA
from policypress.compression.pruning.by_activation import activation_scores, fold_means
from policypress.compression.pruning.by_observations import Elimination
from policypress.compression.pruning.groups import PruningGroups
from policypress.compression.reconstruction import refit_layer, spreads
from policypress.compression.recurrence.unit_groups import UnitGroups
from policypress.compression.step import Context, Stage, Step
from policypress.policy.folding import fold_affines
from policypress.policy.policy import Policy
from policypress_runtime.errors import NetworkError, RecipeError

SCOPES = ("uniform", "global")
# A notice states the removed share if it differs from the requested one by more than this.
NOTICED = 0.05


Groups = PruningGroups | UnitGroups


@dataclass(frozen=True)
class Prune(Step):
    """Remove the share ``ratio`` of the channels of the hidden layers, least important first."""

    name: ClassVar[str] = "prune"
    stage: ClassVar[Stage] = Stage.STRUCTURE
    version: ClassVar[int] = 1
    criterion: str = field(metadata={"positional": True})
    ratio: float = field(metadata={"positional": True})
    scope: str = field(default="uniform", metadata={"later": True})

    def __post_init__(self) -> None:
        if self.criterion not in CRITERIA:
            raise RecipeError("Unknown pruning criterion.", got=self.criterion, expected=" or ".join(CRITERIA))
        if self.scope not in SCOPES:
            raise RecipeError("Unknown pruning scope.", got=self.scope, expected=" or ".join(SCOPES))
        if not 0 < self.ratio < 1:
            raise RecipeError(
                "prune needs the fraction of channels to remove.",
                got=str(self.ratio),
                expected="a number between 0 and 1, e.g. prune(l2, 0.3)",
            )

    def apply(self, policy: Policy, context: Context) -> Policy:
        """Copy of ``policy`` with narrower hidden layers; a notice where the share removed is not the one asked for.

        Raises:
            NetworkError: the dependency graph cannot follow the network, or nothing in it can be removed.
        """
        result = fold_affines(policy)
        whole = result.clone()
        try:
            found = self._groups(result)
            counts = self.counts([group.units for group in found.groups]) if found.groups else []
            if found.groups and self._removes(counts, [group.units for group in found.groups]):
                mixed = REMOVALS[self.criterion](self, found, result, context)
            else:
                mixed = ()
                found.cut([torch.tensor([], dtype=torch.int64)] * len(found.groups))
        except (RuntimeError, ValueError, AttributeError, TypeError, IndexError) as error:
            raise NetworkError(
                "The network cannot be pruned: its dependency graph could not be followed.",
                got=f"{type(error).__name__}: {error}",
                expected="linear and convolutional layers joined by the supported operators",
            ) from error
        if result.hidden_channels() == whole.hidden_channels():
            raise self._nothing([group.units for group in found.groups])
        return self._told(_refitted(result, whole, mixed, context), whole)

    def _groups(self, policy: Policy) -> Groups:
        """Of a policy with memory, units with their gates and states: the dependency graph follows no state."""
        power = 1 if self.criterion == "l1" else 2
        if policy.states:
            return UnitGroups(policy, power)
        return PruningGroups(policy, torch_pruning.importance.GroupMagnitudeImportance(p=power))

    def _removes(self, counts: Sequence[int], units: Sequence[int]) -> bool:
        """Whether anything goes: a group that would lose all its units keeps them all."""
        if self.scope == "global":
            return counts[0] > 0
        return any(0 < count < size for count, size in zip(counts, units, strict=True))

    def _nothing(self, units: Sequence[int]) -> NetworkError:
        """Why nothing was removed, and what would be."""
        if not units or max(units) < 2:
            return NetworkError(
                f"{self.text()} finds nothing to remove in this network.",
                got="no hidden layer with channels that can be removed"
                if not units
                else "hidden layers of one channel each",
                expected="a hidden layer of two channels or more that only layers of this network read",
                hint="Leave prune out of the recipe.",
            )
        widest = max(units)
        most = next((step / 1000 for step in range(999, 0, -1) if int(widest * (1 - step / 1000)) > 0), 0.0)
        return NetworkError(
            f"{self.text()} would leave no channel of a hidden layer, so nothing was removed.",
            got=f"hidden layers of {', '.join(map(str, units))} channels",
            expected=f"a ratio that leaves one: at most {most:g}",
        )

    def _told(self, policy: Policy, whole: Policy) -> Policy:
        """``policy``, with a notice where another share of the channels went than was asked for."""
        channels = 1 - policy.hidden_channels() / whole.hidden_channels()
        if abs(channels - self.ratio) <= NOTICED:
            return policy
        parameters = 1 - policy.parameter_count() / whole.parameter_count()
        notice = (
            f"{self.text()} removed {100 * channels:.1f} % of the hidden channels ({100 * parameters:.1f} % of the "
            f"parameters), not {100 * self.ratio:g} %: whole channels go, layers that cannot lose any stay, and a "
            "layer that would lose all keeps all."
        )
        policy.origin = replace(policy.origin, notices=(*policy.origin.notices, notice))
        return policy

    def counts(self, units: Sequence[int]) -> list[int]:
        """How many units each group loses; with one scope for all, what counts is the sum."""
        if self.scope == "uniform":
            return [count - int(count * (1 - self.ratio)) for count in units]
        total = sum(units)
        return [min(total - int(total * (1 - self.ratio)), total - len(units))]

    def lowest(self, scores: Sequence[Tensor]) -> list[Tensor]:
        """The units to remove of each group: those of lowest score, in the group or among all."""
        counts = self.counts([len(score) for score in scores])
        if self.scope == "uniform":
            return [
                torch.topk(score, count, largest=False).indices for score, count in zip(scores, counts, strict=True)
            ]
        # The best of each group is out of the ranking, so that no layer is emptied.
        ranked = [score.scatter(0, score.argmax()[None], torch.inf) for score in scores]
        chosen = torch.topk(torch.cat(ranked), counts[0], largest=False).indices
        starts = torch.tensor([0, *(len(score) for score in scores)]).cumsum(0)
        return [chosen[(chosen >= start) & (chosen < stop)] - start for start, stop in pairwise(starts.tolist())]


def _refitted(policy: Policy, whole: Policy, names: Sequence[str], context: Context) -> Policy:
    """``policy`` with the layers ``names`` refitted to what ``whole`` gives there, and a notice of it."""
    for name in names:
        if getattr(policy.layers[name], "groups", 1) == 1:
            refit_layer(policy, name, whole, with_neighbours(context.calibration, context.seed, policy.state_names))
    if names:
        notice = (
            f"prune(obs): channels before {', '.join(names)} are normalised or grouped, where no closed form of the "
            "loss holds; they were ranked by their output, and the layer was refitted afterwards."
        )
        policy.origin = replace(policy.origin, notices=(*policy.origin.notices, notice))
    return policy


Removal = Callable[[Prune, Groups, Policy, Context], tuple[str, ...]]
"""Cuts what a criterion chooses; gives the names of readers that could not make up for it in closed form."""


def _by_magnitude(prune: Prune, found: Groups, policy: Policy, context: Context) -> tuple[str, ...]:
    found.cut(prune.lowest([found.magnitude(group) for group in found.groups]))
    return ()


def _by_activation(prune: Prune, found: Groups, policy: Policy, context: Context) -> tuple[str, ...]:
    spread = spreads(policy, context.calibration)
    dropped = prune.lowest(activation_scores(policy, found.groups, spread))
    fold_means(policy, found.groups, dropped, spread)
    found.cut(dropped)
    return ()


def _by_observations(prune: Prune, found: Groups, policy: Policy, context: Context) -> tuple[str, ...]:
    near = with_neighbours(context.calibration, context.seed, policy.state_names)
    elimination = Elimination(policy, found.groups, near)
    counts = prune.counts([group.units for group in found.groups])
    dropped = elimination.run(counts) if prune.scope == "uniform" else elimination.run_global(sum(counts))
    elimination.settle()
    found.cut(dropped)
    return elimination.mixed


REMOVALS: dict[str, Removal] = {
    "l1": _by_magnitude,
    "l2": _by_magnitude,
    "activation": _by_activation,
    "obs": _by_observations,
}
