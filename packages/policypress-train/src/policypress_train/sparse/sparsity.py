"""Group-sparse training: unimportant channels are pulled towards 0, so that pruning them later costs little.

Lu et al. 2024, section 2.2, after DepGraph (Fang et al. 2023, arXiv:2301.12900): R(g) = Σ_k γ_k · I_{g,k}, with the
importance I_{g,k} = Σ_{w ∈ g} ‖w[k]‖² of channel k in a group g of layers that depend on each other, and
γ_k = 2^{α (I_max − I_k) / (I_max − I_min)}: the least important channel is pulled 2^α times as hard as the most
important one.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
import torch_pruning
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor, nn

from policypress_runtime.errors import TrainingInputError
from policypress_train.acting import ActingNetwork, actor_optimizer

ALPHA = 4.0
STRENGTH = 1e-4
# A layer's weight, the axis of it that the group's channels number, and the channel of each index along that axis.
Part = tuple[Tensor, int, Tensor, Tensor]


class GroupSparsity:
    """The regulariser of one policy's acting network.

    Groups are torch-pruning's dependency groups of hidden channels: rows of the layer that makes a channel, and columns
    of the layers that read it. Outputs are no channels to prune.

    Args:
        policy: of any of the six algorithms, in fp32 or quantized.
        strength: the factor of R.
        alpha: α.

    Raises:
        TrainingInputError: a factor is negative, or the network has no hidden channels.
    """

    def __init__(self, policy: BasePolicy, strength: float = STRENGTH, alpha: float = ALPHA) -> None:
        if not (strength >= 0 and alpha >= 0):
            raise TrainingInputError(
                "Group-sparse training needs factors that are not negative.",
                got=f"strength {strength:g}, alpha {alpha:g}",
                expected="0 or more",
            )
        self.strength, self.alpha = strength, alpha
        self._groups = _groups(ActingNetwork(policy))
        self._optimizer = actor_optimizer(policy)
        self._handle: Any = None

    def importances(self) -> list[Tensor]:
        """I_{g,k} of each group, ``(channels,)``, differentiable."""
        return [_importance(parts) for parts in self._groups]

    def penalty(self) -> Tensor:
        """strength · Σ_g R(g), a scalar to add to a loss; γ is taken as constant, as the library does."""
        terms = [(factors(i, self.alpha) * i).sum() for i in self.importances()]
        return self.strength * torch.stack(terms).sum()

    def attach(self) -> GroupSparsity:
        """Apply R's gradient after each step of the acting network's optimizer, from now on.

        With its learning rate but outside its moments, as AdamW does with weight decay: Adam would divide R's gradient
        by the loss's own size, and pull a channel that the loss never moves as hard as any other.
        """
        self._handle = self._optimizer.register_step_post_hook(lambda optimizer, *_: self._descend(optimizer))
        return self

    def detach(self) -> None:
        """Stop applying it."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    @torch.no_grad()
    def _descend(self, optimizer: torch.optim.Optimizer) -> None:
        rate = 2.0 * self.strength * float(optimizer.param_groups[0]["lr"])
        pulls = [factors(_importance(parts), self.alpha) for parts in self._groups]
        for parts, pull in zip(self._groups, pulls, strict=True):
            for weight, axis, indices, channels in parts:
                factor = torch.zeros(weight.shape[axis], device=weight.device, dtype=weight.dtype)
                factor[indices] = pull[channels]
                shape = [1] * weight.dim()
                shape[axis] = -1
                weight.sub_(weight * factor.reshape(shape), alpha=rate)


def factors(importance: Tensor, alpha: float) -> Tensor:
    """γ_k = 2^{α (I_max − I_k) / (I_max − I_min)}; 1 everywhere where all channels are alike; a constant.

    >>> factors(torch.tensor([1.0, 2.0, 3.0]), 4.0)
    tensor([16.,  4.,  1.])
    """
    importance = importance.detach()
    spread = importance.max() - importance.min()
    if float(spread) <= 0:
        return torch.ones_like(importance)
    return torch.exp2(alpha * (importance.max() - importance) / spread)


def _importance(parts: list[Part]) -> Tensor:
    total = None
    for weight, axis, indices, channels in parts:
        squares = weight.movedim(axis, 0).flatten(1).square().sum(1)[indices]
        count = int(channels.max()) + 1
        term = torch.zeros(count, device=weight.device, dtype=weight.dtype).index_add(0, channels, squares)
        total = term if total is None else total + term
    if total is None:
        raise TrainingInputError("A group of channels without weights cannot be made sparse.")
    return total


def _groups(network: ActingNetwork) -> list[list[Part]]:
    layers = [layer for _, layer in network.weighted()]
    graph = torch_pruning.DependencyGraph()
    was_training = network.training
    with warnings.catch_warnings(), torch.enable_grad():
        # The library's own words about parameters outside of layers (log_std), which are no channels.
        warnings.simplefilter("ignore", UserWarning)
        graph.build_dependency(network.eval(), example_inputs=network.example(), forward_fn=lambda n, x: n(x))
        network.train(was_training)
        found = graph.get_all_groups(ignored_layers=layers[-1:], root_module_types=[nn.Linear, nn.Conv2d])
        groups = [parts for group in found if (parts := _parts(graph, group))]
    if not groups:
        raise TrainingInputError(
            "Group-sparse training needs hidden layers.",
            got=f"an acting network of {len(layers)} layer(s)",
            expected="a hidden layer, e.g. --set net_arch=[64,64]",
        )
    return groups


def _parts(graph: Any, group: Any) -> list[Part]:
    parts: list[Part] = []
    for item in group.items:
        layer = item.dep.target.module
        if isinstance(layer, nn.Linear | nn.Conv2d):
            axis = 0 if graph.is_out_channel_pruning_fn(item.dep.handler) else 1
            device = layer.weight.device
            indices = torch.tensor(item.idxs, device=device)
            parts.append((layer.weight, axis, indices, torch.tensor(item.root_idxs, device=device)))
    return parts
