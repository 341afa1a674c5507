"""What the native off-policy algorithms share: bindings, inference in C, losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from policypress_train.fast.collecting import LeanCollecting
from policypress_train.native.bindings import LOSSES, Floats, UpdateBindings
from policypress_train.native.compiled import library
from policypress_train.native.networks import Networks, check_setting
from policypress_train.native.pointers import check_optimizer


class NativeLearning(LeanCollecting):
    """Mixin: an off-policy algorithm with its gradient step in C.

    Attributes:
        kernels: name of the kernel set that runs.
        pinned_kernels: name of the only one that may, or None; stated before the model is set up.
    """

    kernels: str
    pinned_kernels: str | None = None
    _bindings: UpdateBindings

    def _networks(self) -> Networks:
        raise NotImplementedError

    def _optimizers(self) -> tuple[torch.optim.Optimizer, ...]:
        policy: Any = self.policy
        return policy.actor.optimizer, policy.critic.optimizer

    def _log_temperature(self) -> torch.Tensor | None:
        return None

    def _setup_model(self) -> None:
        super()._setup_model()
        check_setting(self)
        networks = self._networks()
        for optimizer in self._optimizers():
            check_optimizer(optimizer)
        loaded, self.kernels = library(self.pinned_kernels)
        self._bindings = UpdateBindings(loaded, networks, self._optimizers(), self._log_temperature())

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_bindings", "kernels", "pinned_kernels"]

    def trust(self, trusted: bool) -> None:
        """As in the base class; the C side also drops its cached parameters and ranges."""
        super().trust(trusted)
        self._bindings.acting.renew()

    def _tell(self) -> None:
        """Notify torch's quantized layers that parameters and ranges have changed, so that they are rounded again."""
        for network in self._quantized:
            self.changed(network)
        self.trust(False)

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> Any:
        """As in the library; exploration actions are computed in C."""
        if deterministic or observation is not self._last_obs:
            return super().predict(observation, state, episode_start, deterministic)
        rows = np.ascontiguousarray(observation, np.float32).reshape(-1, self._bindings.update.observation_size)
        return self._explore(rows), state

    def _explore(self, observations: Floats) -> Any:
        """Exploration actions for these rows, in the environment's scale."""
        actions = self._bindings.act(observations).reshape((-1, *(self.action_space.shape or ())))
        return self.policy.unscale_action(actions)

    def _remember(self, *indices: int) -> None:
        """Keep the losses at these indices until they are logged."""
        for place in indices:
            self._losses.setdefault(LOSSES[place], []).append(self._bindings.losses[place])
