"""Magnitude pruning during training: masks over single weights, and the gradual schedule.

The lottery-ticket experiments use the masks; ``GradualPruning`` is the method of Zhu & Gupta 2017 (arXiv:1710.01878),
which Graesser et al. 2022 (arXiv:2206.10369) found to hold returns at 80 to 90 % sparsity in deep RL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from policypress_runtime.errors import TrainingInputError
from policypress_train.acting import ActingNetwork, actor_optimizer

Masks = Mapping[str, Tensor]


def acting_weights(policy: BasePolicy) -> dict[str, Tensor]:
    """Weight parameters of every linear and convolutional layer of the acting network, by name."""
    return {name: layer.weight for name, layer in ActingNetwork(policy).weighted()}


def magnitude_masks(weights: Mapping[str, Tensor], sparsity: float, before: Masks | None = None) -> dict[str, Tensor]:
    """Masks (1 keeps, 0 prunes) that leave out the share ``sparsity`` of all weights, the smallest of all layers.

    Args:
        weights: by layer.
        sparsity: from 0 to less than 1.
        before: masks whose zeros stay.
    """
    _check(sparsity)
    kept = {name: torch.ones_like(weight) for name, weight in weights.items()} if before is None else before
    # Weights that are already pruned sort first.
    scores = {name: torch.where(kept[name] > 0, weight.detach().abs(), -1.0) for name, weight in weights.items()}
    everything = torch.cat([score.flatten() for score in scores.values()])
    flat = torch.ones_like(everything)
    flat[everything.argsort(stable=True)[: round(sparsity * len(everything))]] = 0.0
    flat *= (everything >= 0).to(flat.dtype)
    parts = torch.split(flat, [weight.numel() for weight in weights.values()])
    return {name: part.reshape(weights[name].shape) for name, part in zip(weights, parts, strict=True)}


def random_masks(masks: Masks, generator: torch.Generator) -> dict[str, Tensor]:
    """Random masks with as many zeros in each layer."""
    return {
        name: mask.flatten()[torch.randperm(mask.numel(), generator=generator)].reshape(mask.shape)
        for name, mask in masks.items()
    }


def sparsity_of(masks: Masks) -> float:
    """Share of zeros."""
    total = sum(mask.numel() for mask in masks.values())
    return 1.0 - sum(float(mask.sum()) for mask in masks.values()) / total


class Masked:
    """Keeps pruned weights of a policy's acting network at 0 after every optimizer step.

    TRPO updates its actor without an optimizer: call :meth:`apply` after each of its updates (a callback's rollout
    start).
    """

    def __init__(self, policy: BasePolicy, masks: Masks | None = None) -> None:
        self._weights = acting_weights(policy)
        self.masks: Masks = masks or {name: torch.ones_like(weight) for name, weight in self._weights.items()}
        actor_optimizer(policy).register_step_post_hook(lambda *_: self.apply())
        self.apply()

    @torch.no_grad()
    def apply(self) -> None:
        """Set pruned weights to 0."""
        for name, weight in self._weights.items():
            weight.mul_(self.masks[name].to(weight.device))

    def prune(self, sparsity: float) -> None:
        """Prune more of the smallest weights, up to the share ``sparsity``."""
        self.masks = magnitude_masks(self._weights, sparsity, self.masks)
        self.apply()


class GradualPruning(BaseCallback):
    """s(t) = s_f · (1 − (1 − (t − t₀) / (t₁ − t₀))³): fast at first, while many weights are redundant.

    Args:
        sparsity: s_f, what is pruned at the end.
        start: share of the training after which pruning begins.
        stop: share after which the final sparsity is reached.
        changes: how many times more is pruned.
    """

    def __init__(self, sparsity: float, start: float = 0.2, stop: float = 0.8, changes: int = 100) -> None:
        super().__init__()
        _check(sparsity)
        if not 0 <= start < stop <= 1 or changes < 1:
            raise TrainingInputError(
                "Gradual pruning must start before it stops.",
                got=f"start {start:g}, stop {stop:g}, {changes} changes",
                expected="0 ≤ start < stop ≤ 1, and at least one change",
            )
        self.sparsity, self.start, self.stop, self.changes = sparsity, start, stop, changes
        self._masked: Masked | None = None
        self._done = 0

    def scheduled(self, progress: float) -> float:
        """Sparsity at ``progress`` (0 to 1) of the training."""
        share = min(max((progress - self.start) / (self.stop - self.start), 0.0), 1.0)
        return self.sparsity * (1.0 - (1.0 - share) ** 3)

    def _on_training_start(self) -> None:
        self._masked = Masked(self.model.policy)

    def _on_rollout_start(self) -> None:
        model: Any = self.model
        if self._masked is None:
            return
        progress = model.num_timesteps / max(model._total_timesteps, 1)
        share = (progress - self.start) / (self.stop - self.start)
        change = int(min(max(share, 0.0), 1.0) * self.changes)
        if change > self._done:
            self._done = change
            self._masked.prune(self.scheduled(self.start + (self.stop - self.start) * change / self.changes))
        else:
            self._masked.apply()

    def _on_training_end(self) -> None:
        if self._masked is not None:
            self._masked.apply()

    def _on_step(self) -> bool:
        return True


def _check(sparsity: float) -> None:
    if not 0.0 <= sparsity < 1.0:
        raise TrainingInputError(
            "This fraction of weights cannot be pruned.", got=f"{sparsity:g}", expected="0 to less than 1"
        )
