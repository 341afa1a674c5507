"""PPO with acting and the gradient step in C.

Source: Schulman et al., Proximal Policy Optimization Algorithms (2017), as Stable-Baselines3 has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.utils import explained_variance

from policypress.training.native.addresses import after_step
from policypress.training.native.collecting import Floats, NativeCollecting
from policypress.training.native.rollouts import LOSSES


class NativePPO(NativeCollecting, PPO):
    """The library's PPO: its random numbers, its formulas; networks and losses are computed in C."""

    def train(self) -> None:
        """Learn from the rollout that was collected, ``n_epochs`` times over."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        clip, value_clip = self._clips()
        rollout = self._wiring.prepare(self.rollout_buffer, self.batch_size)
        rollout.clip, rollout.value_clip = clip, -1.0 if value_clip is None else value_clip
        rollout.normalised = self.normalize_advantage
        rollout.entropy_weight, rollout.value_weight = self.ent_coef, self.vf_coef
        rollout.longest, rollout.farthest = self.max_grad_norm, -1.0 if self.target_kl is None else self.target_kl
        found: list[Floats] = []
        divergences: list[float] = []
        for _ in range(self.n_epochs):
            divergences, goes_on = self._epoch(found)
            self._n_updates += 1
            if not goes_on:
                break
        self._record(np.array(found), divergences, clip, value_clip)

    def _clips(self) -> tuple[float, float | None]:
        left = self._current_progress_remaining
        value_clip: Any = self.clip_range_vf
        return float(self.clip_range(left)), None if value_clip is None else float(value_clip(left))  # type: ignore[operator]

    def _epoch(self, found: list[Floats]) -> tuple[list[float], bool]:
        """Once through the rollout, in random order; its divergences, and whether learning goes on."""
        buffer, wiring = self.rollout_buffer, self._wiring
        size = buffer.buffer_size * buffer.n_envs
        order = np.random.permutation(size)
        divergences = []
        for first in range(0, size, self.batch_size):
            goes_on = wiring.learn(order[first : first + self.batch_size])
            found.append(wiring.losses.copy())
            divergences.append(float(wiring.losses[LOSSES.index("approx_kl")]))
            if not goes_on:
                return divergences, False
            after_step(self.policy.optimizer)
        return divergences, True

    def _record(self, found: Floats, divergences: list[float], clip: float, value_clip: float | None) -> None:
        """The library's logs."""
        buffer = self.rollout_buffer
        variance = explained_variance(buffer.values.flatten(), buffer.returns.flatten())
        means = dict(zip(LOSSES, found.mean(axis=0), strict=True))
        numbers = {
            **{name: float(means[name]) for name in LOSSES},
            "approx_kl": float(np.mean(divergences)),
            "loss": float(found[-1, LOSSES.index("loss")]),
            "explained_variance": variance,
            "clip_range": clip,
        }
        if not self.numbered:
            numbers["std"] = float(self.policy.log_std.detach().exp().mean())
        if value_clip is not None:
            numbers["clip_range_vf"] = value_clip
        for name, number in numbers.items():
            self.logger.record(f"train/{name}", number)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
