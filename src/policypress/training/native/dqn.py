"""DQN with the gradient step in C.

Source: Mnih et al., Human-level control through deep reinforcement learning (2015), as Stable-Baselines3 has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from policypress.training.fast.dqn import FastDQN
from policypress.training.native.addresses import after_step
from policypress.training.native.learning import NativeLearning
from policypress.training.native.networks import Networks, dqn_networks
from policypress.training.native.wiring import Floats


class NativeDQN(NativeLearning, FastDQN):
    """The fast DQN, its update compiled."""

    def _networks(self) -> Networks:
        return dqn_networks(self.policy)

    def _optimizers(self) -> tuple[torch.optim.Optimizer, ...]:
        return (self.policy.optimizer,)

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Update the Q network ``gradient_steps`` times."""
        self._update_learning_rate(self.policy.optimizer)
        wiring = self._wiring
        update = wiring.prepare(batch_size)
        update.gamma, update.longest = self.gamma, float(self.max_grad_norm)
        losses = []
        for index in range(gradient_steps):
            update.target_known = index > 0  # it follows between two rounds of updates
            held = wiring.draw(self.replay_buffer, self._vec_normalize_env)  # type: ignore[arg-type]
            wiring.compiled.pp_learn_dqn_values(update)
            after_step(self.policy.optimizer)
            losses.append(wiring.losses[0])
            del held
        self._losses = {"train/loss": losses}
        self._tell()
        self._n_updates += gradient_steps

    def _explore(self, observations: Floats) -> Any:
        """Epsilon-greedy, as the library's."""
        if np.random.rand() < self.exploration_rate:
            return np.array([self.action_space.sample() for _ in range(len(observations))])
        return self._wiring.acting(observations).argmax(axis=1)
