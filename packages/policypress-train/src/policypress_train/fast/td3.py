"""TD3 and DDPG with a hand-tuned update.

Sources: Fujimoto et al., Addressing Function Approximation Error in Actor-Critic Methods (2018); Lillicrap et al.,
Continuous Control with Deep Reinforcement Learning (2016); both as Stable-Baselines3 has them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from stable_baselines3 import DDPG, TD3

from policypress_train.fast.adam import AdamStep
from policypress_train.fast.collecting import LeanCollecting, copy_statistics, data_of, no_denormals, soft_update


class FastTD3(LeanCollecting, TD3):
    """The library's TD3 with fewer operations."""

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Update the critics ``gradient_steps`` times, and the actor every ``policy_delay`` of them."""
        self.switch_training(True)
        self._update_learning_rate([self.actor.optimizer, self.critic.optimizer])
        actor, critic = AdamStep(self.actor.optimizer), AdamStep(self.critic.optimizer)
        self._losses = {"train/critic_loss": [], "train/actor_loss": []}
        with no_denormals():
            for _ in range(gradient_steps):
                self._n_updates += 1
                observations = self._learn_values(critic, batch_size)
                if self._n_updates % self.policy_delay == 0:
                    self._learn_actions(actor, observations)
        self.trust(False)

    def _learn_values(self, step: AdamStep, batch_size: int) -> torch.Tensor:
        batch = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)  # type: ignore[union-attr]
        discount = batch.discounts if batch.discounts is not None else self.gamma
        with torch.no_grad():
            noise = torch.empty_like(batch.actions).normal_(0, self.target_policy_noise)
            noise = noise.clamp_(-self.target_noise_clip, self.target_noise_clip)
            actions = (self.actor_target(batch.next_observations) + noise).clamp_(-1, 1)
            value = torch.cat(self.critic_target(batch.next_observations, actions), dim=1).amin(dim=1, keepdim=True)
            target = batch.rewards + (1 - batch.dones) * discount * value
        values = self.critic(batch.observations, batch.actions)
        loss = sum((F.mse_loss(value, target) for value in values), torch.zeros((), device=self.device))
        step.minimise(loss)
        self.changed(self.critic)
        self._losses["train/critic_loss"].append(loss.detach())
        return batch.observations

    def _learn_actions(self, step: AdamStep, observations: torch.Tensor) -> None:
        loss = -self.critic.q1_forward(observations, self.actor(observations)).mean()
        step.minimise(loss)
        self.changed(self.actor)
        self._losses["train/actor_loss"].append(loss.detach())
        soft_update(data_of(self.critic_target.parameters()), data_of(self.critic.parameters()), self.tau)
        soft_update(data_of(self.actor_target.parameters()), data_of(self.actor.parameters()), self.tau)
        copy_statistics(self.critic_batch_norm_stats_target, self.critic_batch_norm_stats)
        copy_statistics(self.actor_batch_norm_stats_target, self.actor_batch_norm_stats)
        self.changed(self.actor_target)
        self.changed(self.critic_target)


class FastDDPG(FastTD3, DDPG):
    """DDPG is TD3 with one critic, without delay and noise on the target."""
