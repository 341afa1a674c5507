"""TD3 and DDPG with the gradient step in C.

Sources: Fujimoto et al., Addressing Function Approximation Error in Actor-Critic Methods (2018); Lillicrap et al.,
Continuous Control with Deep Reinforcement Learning (2016); both as Stable-Baselines3 has them.
"""

from __future__ import annotations

import torch
from stable_baselines3 import DDPG

from policypress_train.fast.collecting import copy_statistics
from policypress_train.fast.td3 import FastTD3
from policypress_train.native.learning import NativeLearning
from policypress_train.native.networks import Networks, td3_networks
from policypress_train.native.pointers import after_step


class NativeTD3(NativeLearning, FastTD3):
    """The fast TD3 with a compiled update."""

    def _networks(self) -> Networks:
        return td3_networks(self.policy)

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Update the critics ``gradient_steps`` times, and the actor every ``policy_delay`` of them."""
        self._update_learning_rate(list(self._optimizers()))
        bindings = self._bindings
        update = bindings.prepare(batch_size)
        update.gamma = self.gamma
        shape = (batch_size, update.action_size)
        self._losses = {}
        for _ in range(gradient_steps):
            self._n_updates += 1
            noise = torch.empty(shape).normal_(0, self.target_policy_noise)
            noise = noise.clamp_(-self.target_noise_clip, self.target_noise_clip)
            held = bindings.draw(self.replay_buffer, self._vec_normalize_env, next_noise=noise)  # type: ignore[arg-type]
            bindings.compiled.pp_td3_update_critics(update)
            after_step(self.critic.optimizer)
            self._remember(0)
            if self._n_updates % self.policy_delay == 0:
                bindings.compiled.pp_td3_update_actor(update)
                after_step(self.actor.optimizer)
                bindings.polyak_update(self.tau, actor=True)
                copy_statistics(self.critic_batch_norm_stats_target, self.critic_batch_norm_stats)
                copy_statistics(self.actor_batch_norm_stats_target, self.actor_batch_norm_stats)
                self._remember(1)
            del held
        self._tell()


class NativeDDPG(NativeTD3, DDPG):
    """DDPG is TD3 with one critic, without delay and noise on the target."""
