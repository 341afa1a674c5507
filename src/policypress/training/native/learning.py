"""What the native algorithms share: their wiring, acting in C, losses as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from policypress.training.fast.collecting import LeanCollecting
from policypress.training.native.addresses import check_optimizer
from policypress.training.native.compiled import library
from policypress.training.native.networks import Networks, check_setting
from policypress.training.native.wiring import LOSSES, Floats, Wiring


class NativeLearning(LeanCollecting):
    """An off-policy algorithm whose gradient step is C, for classes that also inherit a fast algorithm.

    Attributes:
        kernels: name of the kernel set that runs.
        pinned_kernels: name of the only one that may, or None; stated before the model is set up.
    """

    kernels: str
    pinned_kernels: str | None = None
    _wiring: Wiring

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
        self._wiring = Wiring(loaded, networks, self._optimizers(), self._log_temperature())

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_wiring", "kernels", "pinned_kernels"]

    def trust(self, trusted: bool) -> None:
        """As always; what acts in C looks at parameters and ranges anew."""
        super().trust(trusted)
        self._wiring.acting.renew()

    def _tell(self) -> None:
        """Quantized layers of torch's hear that parameters and ranges are others: what acts rounds them anew."""
        for network in self._quantized:
            self.changed(network)
        self.trust(False)

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> Any:
        """The library's; what explores in collecting is computed in C."""
        if deterministic or observation is not self._last_obs:
            return super().predict(observation, state, episode_start, deterministic)
        rows = np.ascontiguousarray(observation, np.float32).reshape(-1, self._wiring.update.observation_size)
        return self._explore(rows), state

    def _explore(self, observations: Floats) -> Any:
        """Actions for these rows, as the environment takes them."""
        actions = self._wiring.act(observations).reshape((-1, *(self.action_space.shape or ())))
        return self.policy.unscale_action(actions)

    def _remember(self, *places: int) -> None:
        """Keep the losses at these places until they are logged."""
        for place in places:
            self._losses.setdefault(LOSSES[place], []).append(self._wiring.losses[place])
