"""The acting part of the libraries' policies: from preprocessed observations to scores or means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.dqn.policies import DQNPolicy
from torch import Tensor, nn


class ActingNetwork(nn.Module):
    """The modules of ``policy`` that a deterministic action needs, shared with it, as one network.

    ``forward`` takes observations as tensors, and gives scores (discrete actions) or the action's mean.
    """

    def __init__(self, policy: BasePolicy) -> None:
        super().__init__()
        self._spaces = (policy.observation_space, policy.normalize_images)
        chain: tuple[nn.Module, ...]
        if isinstance(policy, ActorCriticPolicy):
            chain = (policy.pi_features_extractor, policy.mlp_extractor.policy_net, policy.action_net)
        elif isinstance(policy, DQNPolicy):
            chain = (policy.q_net.features_extractor, policy.q_net.q_net)
        else:
            actor: Any = policy.actor
            latent = (actor.latent_pi,) if hasattr(actor, "latent_pi") else ()
            chain = (actor.features_extractor, *latent, actor.mu)
        self.chain = nn.ModuleList(chain)

    def forward(self, observation: Any) -> Tensor:
        """A batch of observations."""
        space, normalize_images = self._spaces
        value: Any = preprocess_obs(observation, space, normalize_images=normalize_images)
        for part in self.chain:
            value = part(value)
        result: Tensor = value
        return result

    def weighted(self) -> Iterator[tuple[str, nn.Linear | nn.Conv2d]]:
        """Linear layers and convolutions in execution order."""
        for name, layer in self.chain.named_modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                yield name, layer

    def example(self) -> Any:
        """Two zero observations, for tracing the network."""
        space: Any = self._spaces[0]
        parts = getattr(space, "spaces", None)
        if isinstance(parts, dict):
            return {key: _zeros(part) for key, part in parts.items()}
        return _zeros(space)


def _zeros(space: Any) -> Tensor:
    return torch.from_numpy(space.sample()[None].repeat(2, axis=0)) * 0


def actor_optimizer(policy: BasePolicy) -> torch.optim.Optimizer:
    """The optimizer of the acting network."""
    owner: Any = getattr(policy, "actor", policy)
    optimizer: torch.optim.Optimizer = owner.optimizer
    return optimizer
