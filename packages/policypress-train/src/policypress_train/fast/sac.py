"""SAC with a hand-tuned update.

Source: Haarnoja et al., Soft Actor-Critic Algorithms and Applications (2018), as Stable-Baselines3 has it.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from stable_baselines3 import SAC
from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from policypress_train.fast.adam import AdamStep
from policypress_train.fast.collecting import LeanCollecting, copy_statistics, data_of, no_denormals, soft_update

_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


class FastSAC(LeanCollecting, SAC):
    """The library's SAC with fewer operations: the actor's loss needs no gradients of the critics' parameters."""

    def train(self, gradient_steps: int, batch_size: int = 64) -> None:
        """Update critics, actor and temperature ``gradient_steps`` times."""
        self.switch_training(True)
        optimizers = [self.actor.optimizer, self.critic.optimizer]
        if self.ent_coef_optimizer is not None:
            optimizers.append(self.ent_coef_optimizer)
        self._update_learning_rate(optimizers)
        steps = [AdamStep(optimizer) for optimizer in optimizers]
        names = ("train/ent_coef", "train/critic_loss", "train/actor_loss", "train/ent_coef_loss")
        self._losses = {name: [] for name in names}
        with no_denormals():
            for index in range(gradient_steps):
                self._update(steps, batch_size)
                if index % self.target_update_interval == 0:
                    soft_update(data_of(self.critic_target.parameters()), data_of(self.critic.parameters()), self.tau)
                    copy_statistics(self.batch_norm_stats_target, self.batch_norm_stats)
                    self.changed(self.critic_target)
        self.trust(False)
        self._n_updates += gradient_steps

    def _update(self, steps: list[AdamStep], batch_size: int) -> None:
        batch = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)  # type: ignore[union-attr]
        if self.use_sde:
            self.actor.reset_noise()
        actions, log_prob = self._act(batch.observations)
        temperature = self._temperature(steps, log_prob.detach())
        target = self._target(batch, temperature)
        values = self.critic(batch.observations, batch.actions)
        critic_loss = 0.5 * sum((F.mse_loss(value, target) for value in values), torch.zeros(()))
        steps[1].minimise(critic_loss)
        self.changed(self.critic)
        value = torch.cat(self.critic(batch.observations, actions), dim=1).amin(dim=1, keepdim=True)
        actor_loss = (temperature * log_prob - value).mean()
        steps[0].minimise(actor_loss)
        self.changed(self.actor)
        self._losses["train/critic_loss"].append(critic_loss.detach())
        self._losses["train/actor_loss"].append(actor_loss.detach())

    def _temperature(self, steps: list[AdamStep], log_prob: torch.Tensor) -> torch.Tensor:
        """The entropy coefficient of this update, and a gradient step of it if it is learned."""
        if self.log_ent_coef is None or self.ent_coef_optimizer is None:
            self._losses["train/ent_coef"].append(self.ent_coef_tensor)
            return self.ent_coef_tensor
        temperature = torch.exp(self.log_ent_coef.detach())
        gap = (log_prob + self.target_entropy).mean()  # type: ignore[operator]  # a float by now
        # The loss is −log α · mean(log π + H), whose gradient is known.
        self._losses["train/ent_coef_loss"].append(-(self.log_ent_coef.detach() * gap))
        steps[2].step([-gap.reshape(self.log_ent_coef.shape)])
        self._losses["train/ent_coef"].append(temperature)
        return temperature

    def _target(self, batch: ReplayBufferSamples, temperature: torch.Tensor) -> torch.Tensor:
        discount = batch.discounts if batch.discounts is not None else self.gamma
        with torch.no_grad():
            actions, log_prob = self._act(batch.next_observations)
            value = torch.cat(self.critic_target(batch.next_observations, actions), dim=1).amin(dim=1, keepdim=True)
            target: torch.Tensor = batch.rewards + (1 - batch.dones) * discount * (value - temperature * log_prob)
            return target

    def _act(self, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Sampled actions (batch, n) in [−1, 1], and their log-probabilities (batch, 1)."""
        distribution: Any = self.actor.action_dist
        if type(distribution) is not SquashedDiagGaussianDistribution:
            actions, log_prob = self.actor.action_log_prob(observations)
            return actions, log_prob.reshape(-1, 1)
        mean, log_std, _ = self.actor.get_action_dist_params(observations)
        noise = torch.randn_like(mean)
        actions = torch.tanh(mean + noise * log_std.exp())
        # Of the Gaussian's density only log σ depends on the parameters: the noise is what was drawn.
        density = -log_std - 0.5 * noise**2 - _HALF_LOG_TAU
        return actions, (density - torch.log(1 - actions**2 + distribution.epsilon)).sum(dim=1, keepdim=True)
