"""TD3 and DDPG with the gradient step in C.

Sources: Fujimoto et al., Addressing Function Approximation Error in Actor-Critic Methods (2018); Lillicrap et al.,
Continuous Control with Deep Reinforcement Learning (2016); both as Stable-Baselines3 has them.
"""

from __future__ import annotations

import numpy as np
import torch
from stable_baselines3 import DDPG

from policypress.training.fast.collecting import copy_statistics
from policypress.training.fast.td3 import FastTD3
from policypress.training.native.learning import Actions, NativeLearning
from policypress.training.native.networks import Networks, td3_networks
from policypress.training.native.wiring import after_step


class NativeTD3(NativeLearning, FastTD3):
    """The fast TD3, its update compiled."""

    def _networks(self) -> Networks:
        return td3_networks(self.policy)

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Update the critics ``gradient_steps`` times, and the actor every ``policy_delay`` of them."""
        self.switch_training(True)
        self._update_learning_rate(list(self._optimizers()))
        wiring = self._wiring
        update = wiring.prepare(batch_size)
        update.gamma = self.gamma
        self._losses = {}
        for _ in range(gradient_steps):
            self._n_updates += 1
            batch = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)  # type: ignore[union-attr]
            noise = torch.empty_like(batch.actions).normal_(0, self.target_policy_noise)
            held = wiring.read(batch, next_noise=noise.clamp_(-self.target_noise_clip, self.target_noise_clip))
            wiring.library.pp_learn_td3_values(update)
            after_step(self.critic.optimizer)
            self._remember(0)
            if self._n_updates % self.policy_delay == 0:
                wiring.library.pp_learn_td3_actions(update)
                after_step(self.actor.optimizer)
                wiring.follow(self.tau, actor=True)
                copy_statistics(self.critic_batch_norm_stats_target, self.critic_batch_norm_stats)
                copy_statistics(self.actor_batch_norm_stats_target, self.actor_batch_norm_stats)
                self._remember(1)
            del held
        self._tell()

    def _explored(self, observations: torch.Tensor) -> Actions:
        actions: Actions = np.tanh(self._wiring.act(observations))
        return actions


class NativeDDPG(NativeTD3, DDPG):
    """DDPG is TD3 with one critic, without delay and noise on the target."""
