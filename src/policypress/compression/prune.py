"""``prune(l1|l2, ratio)``: structured pruning by dependency groups, as published (Lu et al. 2024, section 2.2).

Channels are removed together with everything that depends on them (DepGraph, arXiv:2301.12900, the
torch-pruning library). A channel's importance is the norm of its group's weights, normalised by the layer's
mean; each layer loses the same share of its channels; the output width is kept.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch_pruning
from torch import Tensor, nn

from policypress.compression.step import Context, Stage, Step
from policypress.errors import NetworkError, RecipeError
from policypress.policy.folding import fold_affines, remove_node
from policypress.policy.layers import Binary, Concat, Conv2d, Linear
from policypress.policy.policy import SINGLE_KEY, Policy

CRITERIA = ("l1", "l2")


@dataclass(frozen=True)
class Prune(Step):
    """Remove the share ``ratio`` of the channels of every hidden layer, least important first."""

    name: ClassVar[str] = "prune"
    stage: ClassVar[Stage] = Stage.STRUCTURE
    version: ClassVar[int] = 1
    criterion: str = field(metadata={"positional": True})
    ratio: float = field(metadata={"positional": True})

    def __post_init__(self) -> None:
        if self.criterion not in CRITERIA:
            raise RecipeError("prune does not know this criterion.", got=self.criterion, expected=" or ".join(CRITERIA))
        if not 0 < self.ratio < 1:
            raise RecipeError(
                "prune needs the share of channels to remove.",
                got=str(self.ratio),
                expected="a number between 0 and 1, e.g. prune(l2, 0.3)",
            )

    def apply(self, policy: Policy, context: Context) -> Policy:
        """Copy of ``policy`` with narrower hidden layers.

        Raises:
            NetworkError: the dependency graph cannot follow the network.
        """
        result = fold_affines(policy)
        keep: list[nn.Module] = [layer for name, layer in result.weighted_layers() if result.is_last(name)]
        try:
            anchors = _anchor_observation(result)
            self._prune(result, [*keep, *(result.layers[name] for name in anchors)])
            for name in anchors:
                remove_node(result, name)
            with torch.no_grad():
                result.scores(_example(result))
        except (RuntimeError, ValueError, AttributeError, TypeError, IndexError) as error:
            raise NetworkError(
                "The network cannot be pruned: its dependency graph could not be followed.",
                got=f"{type(error).__name__}: {error}",
                expected="linear and convolutional layers joined by the supported operators",
            ) from error
        return result

    def _prune(self, policy: Policy, keep: list[nn.Module]) -> None:
        with warnings.catch_warnings():
            # PReLU's slopes are such parameters, and their last axis that is not 1 is the channel.
            warnings.filterwarnings("ignore", "Unwrapped parameters detected", UserWarning)
            pruner = torch_pruning.pruner.BasePruner(
                policy,
                example_inputs=_example(policy),
                importance=torch_pruning.importance.GroupMagnitudeImportance(p=1 if self.criterion == "l1" else 2),
                pruning_ratio=float(self.ratio),
                ignored_layers=keep,
                forward_fn=_scores,
            )
        pruner.step()
        policy.zero_grad()


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
