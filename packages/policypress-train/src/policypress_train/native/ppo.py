"""PPO with inference and the gradient step in C.

Source: Schulman et al., Proximal Policy Optimization Algorithms (2017), as Stable-Baselines3 has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.utils import explained_variance

from policypress_train.native.collecting import Floats, NativeCollecting
from policypress_train.native.pointers import after_step
from policypress_train.native.rollouts import LOSSES


class NativePPO(NativeCollecting, PPO):
    """The library's PPO, same random numbers and formulas; networks and losses are computed in C."""

    def train(self) -> None:
        """Train on the collected rollout for ``n_epochs`` epochs."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        clip, clip_range_vf = self._clips()
        rollout = self._bindings.prepare(self.rollout_buffer, self.batch_size)
        rollout.clip_range, rollout.clip_range_vf = clip, -1.0 if clip_range_vf is None else clip_range_vf
        rollout.normalize_advantage = self.normalize_advantage
        rollout.ent_coef, rollout.vf_coef = self.ent_coef, self.vf_coef
        rollout.max_grad_norm, rollout.target_kl = (
            self.max_grad_norm,
            -1.0 if self.target_kl is None else self.target_kl,
        )
        found: list[Floats] = []
        approx_kls: list[float] = []
        for _ in range(self.n_epochs):
            approx_kls, continues = self._epoch(found)
            self._n_updates += 1
            if not continues:
                break
        self._record(np.array(found), approx_kls, clip, clip_range_vf)

    def _clips(self) -> tuple[float, float | None]:
        left = self._current_progress_remaining
        clip_range_vf: Any = self.clip_range_vf
        return float(self.clip_range(left)), None if clip_range_vf is None else float(clip_range_vf(left))  # type: ignore[operator]

    def _epoch(self, found: list[Floats]) -> tuple[list[float], bool]:
        """One epoch in random order; its approximate KLs, and whether training continues."""
        buffer, bindings = self.rollout_buffer, self._bindings
        size = buffer.buffer_size * buffer.n_envs
        order = np.random.permutation(size)
        approx_kls = []
        for first in range(0, size, self.batch_size):
            continues = bindings.learn(order[first : first + self.batch_size])
            found.append(bindings.losses.copy())
            approx_kls.append(float(bindings.losses[LOSSES.index("approx_kl")]))
            if not continues:
                return approx_kls, False
            after_step(self.policy.optimizer)
        return approx_kls, True

    def _record(self, found: Floats, approx_kls: list[float], clip: float, clip_range_vf: float | None) -> None:
        """Log what the library logs."""
        buffer = self.rollout_buffer
        variance = explained_variance(buffer.values.flatten(), buffer.returns.flatten())
        means = dict(zip(LOSSES, found.mean(axis=0), strict=True))
        numbers = {
            **{name: float(means[name]) for name in LOSSES},
            "approx_kl": float(np.mean(approx_kls)),
            "loss": float(found[-1, LOSSES.index("loss")]),
            "explained_variance": variance,
            "clip_range": clip,
        }
        if not self.discrete:
            numbers["std"] = float(self.policy.log_std.detach().exp().mean())
        if clip_range_vf is not None:
            numbers["clip_range_vf"] = clip_range_vf
        for name, number in numbers.items():
            self.logger.record(f"train/{name}", number)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
