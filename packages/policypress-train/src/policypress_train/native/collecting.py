"""Rollout collection of the native on-policy algorithms: forward passes in C."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from policypress_train.native.compiled import library
from policypress_train.native.inference import Inference
from policypress_train.native.networks import actor_critic, check_setting, refused
from policypress_train.native.pointers import check_optimizer
from policypress_train.native.rollouts import RolloutBindings

_HALF_LOG_TWO_PI = float(0.5 * np.log(2 * np.pi))
Floats = npt.NDArray[np.float32]


class NativeCollecting(OnPolicyAlgorithm):
    """Mixin: the library's rollout collection and random numbers, with forward passes in C.

    Attributes:
        kernels: name of the kernel set that runs.
        pinned_kernels: name of the only one that may, or None; stated before the model is set up.
        learns_actor: whether the optimizer updates the actor too.
    """

    learns_actor = True

    kernels: str
    pinned_kernels: str | None = None
    _bindings: RolloutBindings

    @property
    def discrete(self) -> bool:
        """Whether the action space is discrete."""
        return isinstance(self.action_space, spaces.Discrete)

    def _setup_model(self) -> None:
        super()._setup_model()
        check_setting(self)
        space, policy = self.action_space, self.policy
        if not isinstance(space, spaces.Box | spaces.Discrete):
            raise refused(f"actions of {space}", "a Box or Discrete action space")
        networks = actor_critic(policy)
        check_optimizer(policy.optimizer)
        loaded, self.kernels = library(self.pinned_kernels)
        size = int(space.n) if isinstance(space, spaces.Discrete) else int(np.prod(space.shape))
        self._bindings = RolloutBindings(loaded, networks, policy.optimizer, size, learns_actor=self.learns_actor)
        self._actor, self._critic = Inference(loaded, networks.actor), Inference(loaded, networks.critic)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_bindings", "_actor", "_critic", "kernels", "pinned_kernels"]

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
        """Sampled actions ``(rows, …)``, values ``(rows, 1)`` and the actions' log-probabilities."""
        seen = np.ascontiguousarray(observations.numpy(), np.float32).reshape(len(observations), -1)
        values = torch.from_numpy(self._critic(seen).copy())
        given = self._actor(seen)
        actions, log_probs = self._picked(given) if self.discrete else self._drawn(given)
        return actions.reshape((-1, *(self.action_space.shape or ()))), values, torch.from_numpy(log_probs)

    def _drawn(self, means: Floats) -> tuple[torch.Tensor, Floats]:
        """Gaussian actions, sampled with the library's random numbers."""
        log_std: Floats = self.policy.log_std.detach().numpy()
        deviations = torch.from_numpy(np.broadcast_to(np.exp(log_std), means.shape).copy())
        actions = torch.normal(torch.zeros_like(deviations), torch.ones_like(deviations))
        noise: Floats = actions.numpy()
        log_probs = (-0.5 * noise * noise - log_std).sum(axis=1) - _HALF_LOG_TWO_PI * means.shape[1]
        return actions.mul_(deviations).add_(torch.from_numpy(means)), log_probs.astype(np.float32)

    def _picked(self, logits: Floats) -> tuple[torch.Tensor, Floats]:
        """Action indices, sampled with the library's random numbers."""
        shifted = logits - logits.max(axis=1, keepdims=True)
        shares = np.exp(shifted)
        whole = shares.sum(axis=1, keepdims=True)
        actions = torch.multinomial(torch.from_numpy(shares / whole), 1, True)
        log_probs = np.take_along_axis(shifted, actions.numpy(), axis=1) - np.log(whole)
        return actions, log_probs[:, 0]
