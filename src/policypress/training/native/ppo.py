"""PPO with acting and the gradient step in C.

Source: Schulman et al., Proximal Policy Optimization Algorithms (2017), as Stable-Baselines3 has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.utils import explained_variance

from policypress.training.native.acting import Acting
from policypress.training.native.addresses import after_step
from policypress.training.native.compiled import library
from policypress.training.native.networks import actor_critic, check_setting, refused
from policypress.training.native.rollouts import LOSSES, RolloutWiring

_HALF_LOG_TWO_PI = float(0.5 * np.log(2 * np.pi))
Floats = npt.NDArray[np.float32]


class NativePPO(PPO):
    """The library's PPO: its random numbers, its formulas; networks and losses are computed in C.

    Attributes:
        kernels: name of the kernel set that runs.
    """

    kernels: str
    _wiring: RolloutWiring

    def _setup_model(self) -> None:
        super()._setup_model()
        check_setting(self)
        space, policy = self.action_space, self.policy
        if not isinstance(space, spaces.Box | spaces.Discrete):
            raise refused(f"actions of {space}", "a box of numbers, or numbered actions")
        networks = actor_critic(policy)
        loaded, self.kernels = library()
        size = int(space.n) if isinstance(space, spaces.Discrete) else int(np.prod(space.shape))
        self._wiring = RolloutWiring(loaded, networks, policy.optimizer, size)
        self._actor, self._critic = Acting(loaded, networks.actor), Acting(loaded, networks.critic)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_wiring", "_actor", "_critic", "kernels"]

    def collect_rollouts(self, *arguments: Any, **more: Any) -> bool:
        """The library's, with the policy's forward pass in C."""
        with self._acting_in_c():
            return super().collect_rollouts(*arguments, **more)

    @contextmanager
    def _acting_in_c(self) -> Iterator[None]:
        policy: Any = self.policy
        self._actor.renew()
        self._critic.renew()
        vars(policy)["forward"] = self._act
        try:
            yield
        finally:
            del policy.forward

    def _act(self, observations: torch.Tensor, deterministic: bool = False) -> tuple[torch.Tensor, ...]:
        """Actions that explore ``(rows, …)``, values ``(rows, 1)`` and logarithms of the actions' probabilities."""
        seen = np.ascontiguousarray(observations.numpy(), np.float32).reshape(len(observations), -1)
        values = torch.from_numpy(self._critic(seen).copy())
        given = self._actor(seen)
        chosen, log_probs = self._numbered(given) if self.policy_numbers else self._drawn(given)
        return chosen.reshape((-1, *(self.action_space.shape or ()))), values, torch.from_numpy(log_probs)

    @property
    def policy_numbers(self) -> bool:
        """Whether actions are numbered."""
        return isinstance(self.action_space, spaces.Discrete)

    def _drawn(self, means: Floats) -> tuple[torch.Tensor, Floats]:
        """Actions around their means, drawn as the library draws them."""
        log_std: Floats = self.policy.log_std.detach().numpy()
        deviations = torch.from_numpy(np.broadcast_to(np.exp(log_std), means.shape).copy())
        chosen = torch.normal(torch.zeros_like(deviations), torch.ones_like(deviations))
        noise: Floats = chosen.numpy()
        log_probs = (-0.5 * noise * noise - log_std).sum(axis=1) - _HALF_LOG_TWO_PI * means.shape[1]
        return chosen.mul_(deviations).add_(torch.from_numpy(means)), log_probs.astype(np.float32)

    def _numbered(self, logits: Floats) -> tuple[torch.Tensor, Floats]:
        """Numbers of actions, drawn as the library draws them."""
        shifted = logits - logits.max(axis=1, keepdims=True)
        shares = np.exp(shifted)
        whole = shares.sum(axis=1, keepdims=True)
        chosen = torch.multinomial(torch.from_numpy(shares / whole), 1, True)
        log_probs = np.take_along_axis(shifted, chosen.numpy(), axis=1) - np.log(whole)
        return chosen, log_probs[:, 0]

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
        if not self.policy_numbers:
            numbers["std"] = float(self.policy.log_std.detach().exp().mean())
        if value_clip is not None:
            numbers["clip_range_vf"] = value_clip
        for name, number in numbers.items():
            self.logger.record(f"train/{name}", number)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
