"""TRPO with acting and the learning of values in C.

Source: Schulman et al., Trust Region Policy Optimization (2015), as sb3-contrib has it.
"""

from __future__ import annotations

import warnings

import numpy as np
from sb3_contrib import TRPO

from policypress.training.native.addresses import after_step
from policypress.training.native.collecting import NativeCollecting


class NativeTRPO(NativeCollecting, TRPO):
    """The library's TRPO: one step of its actor in torch, with second derivatives; many of its critic in C."""

    learns_actor = False

    def train(self) -> None:
        """Learn from the rollout that was collected: the actor once, the critic ``n_critic_updates`` times over."""
        times, self.n_critic_updates = self.n_critic_updates, 0
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "(Mean of empty slice|invalid value)", RuntimeWarning)
                super().train()
        finally:
            self.n_critic_updates = times
        wiring, size = self._wiring, self.rollout_buffer.buffer_size * self.rollout_buffer.n_envs
        rollout = wiring.prepare(self.rollout_buffer, self.batch_size)
        rollout.value_clip, rollout.value_weight = -1.0, 1.0
        losses = []
        for _ in range(times):
            order = np.random.permutation(size)
            for first in range(0, size, self.batch_size):
                losses.append(wiring.learn_values(order[first : first + self.batch_size]))
                after_step(self.policy.optimizer)
        self.logger.record("train/value_loss", float(np.mean(losses)))
