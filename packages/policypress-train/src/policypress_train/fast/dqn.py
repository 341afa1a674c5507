"""DQN with a hand-tuned update.

Source: Mnih et al., Human-level control through deep reinforcement learning (2015), as Stable-Baselines3 has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from stable_baselines3 import DQN

from policypress_train.fast.adam import AdamStep
from policypress_train.fast.collecting import LeanCollecting, copy_statistics, data_of, no_denormals, soft_update

_EPSILON = 1e-6


class FastDQN(LeanCollecting, DQN):
    """The library's DQN with fewer operations."""

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Update the Q network ``gradient_steps`` times."""
        self.switch_training(True)
        self._update_learning_rate(self.policy.optimizer)
        step = AdamStep(self.policy.optimizer)
        losses: list[torch.Tensor] = []
        with no_denormals():
            for _ in range(gradient_steps):
                batch = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)  # type: ignore[union-attr]
                discount = batch.discounts if batch.discounts is not None else self.gamma
                with torch.no_grad():
                    value = self.q_net_target(batch.next_observations).amax(dim=1, keepdim=True)
                    target = batch.rewards + (1 - batch.dones) * discount * value
                values = torch.gather(self.q_net(batch.observations), dim=1, index=batch.actions.long())
                loss = F.smooth_l1_loss(values, target)
                gradients = torch.autograd.grad(loss, step.parameters)
                clip_grad_norm(gradients, self.max_grad_norm)
                step.step(gradients)
                self.changed(self.q_net)
                losses.append(loss.detach())
        self.trust(False)
        self._losses = {"train/loss": losses}
        self._n_updates += gradient_steps

    def _on_step(self) -> None:
        self._n_calls += 1
        if self._n_calls % max(self.target_update_interval // self.n_envs, 1) == 0:
            soft_update(data_of(self.q_net_target.parameters()), data_of(self.q_net.parameters()), self.tau)
            copy_statistics(self.batch_norm_stats_target, self.batch_norm_stats)
            self.changed(self.q_net_target)
        self.exploration_rate = self.exploration_schedule(self._current_progress_remaining)

    def dump_logs(self) -> None:
        """Log what the library logs, with the exploration rate."""
        self.logger.record("rollout/exploration_rate", self.exploration_rate)
        super().dump_logs()

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> Any:
        """Epsilon-greedy as in the library, without its checks."""
        if deterministic or observation is not self._last_obs or not isinstance(observation, np.ndarray):
            return DQN.predict(self, observation, state, episode_start, deterministic)
        if np.random.rand() < self.exploration_rate:
            return np.array([self.action_space.sample() for _ in range(len(observation))]), state
        with torch.no_grad():
            values = self.q_net(torch.from_numpy(np.ascontiguousarray(observation)).to(self.device))
            return values.argmax(dim=1).reshape(-1).cpu().numpy(), state


def clip_grad_norm(gradients: tuple[torch.Tensor, ...], max_grad_norm: float | int) -> None:
    """Scale gradients in place so that their global norm is at most ``max_grad_norm``."""
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    torch._foreach_mul_(gradients, (max_grad_norm / (norm + _EPSILON)).clamp(max=1.0))
