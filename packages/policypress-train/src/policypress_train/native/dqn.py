"""DQN with the gradient step in C.

Source: Mnih et al., Human-level control through deep reinforcement learning (2015), as Stable-Baselines3 has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from policypress_train.fast.dqn import FastDQN
from policypress_train.native.bindings import Floats
from policypress_train.native.learning import NativeLearning
from policypress_train.native.networks import Networks, dqn_networks
from policypress_train.native.pointers import after_step


class NativeDQN(NativeLearning, FastDQN):
    """The fast DQN with a compiled update."""

    def _networks(self) -> Networks:
        return dqn_networks(self.policy)

    def _optimizers(self) -> tuple[torch.optim.Optimizer, ...]:
        return (self.policy.optimizer,)

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Update the Q network ``gradient_steps`` times."""
        self._update_learning_rate(self.policy.optimizer)
        bindings = self._bindings
        update = bindings.prepare(batch_size)
        update.gamma, update.max_grad_norm = self.gamma, float(self.max_grad_norm)
        losses = []
        for index in range(gradient_steps):
            update.target_cached = index > 0  # the target network changes only between calls of train()
            held = bindings.draw(self.replay_buffer, self._vec_normalize_env)  # type: ignore[arg-type]
            bindings.compiled.pp_dqn_update(update)
            after_step(self.policy.optimizer)
            losses.append(bindings.losses[0])
            del held
        self._losses = {"train/loss": losses}
        self._tell()
        self._n_updates += gradient_steps

    def _explore(self, observations: Floats) -> Any:
        """Epsilon-greedy, as in the library."""
        if np.random.rand() < self.exploration_rate:
            return np.array([self.action_space.sample() for _ in range(len(observations))])
        return self._bindings.acting(observations).argmax(axis=1)
