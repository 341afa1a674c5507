"""TRPO with inference and the value update in C.

Source: Schulman et al., Trust Region Policy Optimization (2015), as sb3-contrib has it.
"""

from __future__ import annotations

import warnings

import numpy as np
from sb3_contrib import TRPO

from policypress_train.native.collecting import NativeCollecting
from policypress_train.native.pointers import after_step


class NativeTRPO(NativeCollecting, TRPO):
    """The library's TRPO: the actor's step in torch (second derivatives), the critic's steps in C."""

    learns_actor = False

    def train(self) -> None:
        """Train on the collected rollout: the actor once, the critic for ``n_critic_updates`` epochs."""
        times, self.n_critic_updates = self.n_critic_updates, 0
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "(Mean of empty slice|invalid value)", RuntimeWarning)
                super().train()
        finally:
            self.n_critic_updates = times
        bindings, size = self._bindings, self.rollout_buffer.buffer_size * self.rollout_buffer.n_envs
        rollout = bindings.prepare(self.rollout_buffer, self.batch_size)
        rollout.clip_range_vf, rollout.vf_coef = -1.0, 1.0
        losses = []
        for _ in range(times):
            order = np.random.permutation(size)
            for first in range(0, size, self.batch_size):
                losses.append(bindings.learn_values(order[first : first + self.batch_size]))
                after_step(self.policy.optimizer)
        self.logger.record("train/value_loss", float(np.mean(losses)))
