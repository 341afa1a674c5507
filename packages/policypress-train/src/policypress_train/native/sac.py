"""SAC with the gradient step in C.

Source: Haarnoja et al., Soft Actor-Critic Algorithms and Applications (2018), as Stable-Baselines3 has it.
"""

from __future__ import annotations

import torch

from policypress_train.fast.collecting import copy_statistics
from policypress_train.fast.sac import FastSAC
from policypress_train.native.learning import NativeLearning
from policypress_train.native.networks import Networks, sac_networks
from policypress_train.native.pointers import after_step


class NativeSAC(NativeLearning, FastSAC):
    """The fast SAC with a compiled update."""

    def _networks(self) -> Networks:
        return sac_networks(self.policy)

    def _optimizers(self) -> tuple[torch.optim.Optimizer, ...]:
        learned = () if self.ent_coef_optimizer is None else (self.ent_coef_optimizer,)
        return (*super()._optimizers(), *learned)

    def _log_temperature(self) -> torch.Tensor | None:
        return self.log_ent_coef

    def train(self, gradient_steps: int, batch_size: int = 64) -> None:
        """Update critics, actor and temperature ``gradient_steps`` times."""
        self._update_learning_rate(list(self._optimizers()))
        bindings = self._bindings
        update = bindings.prepare(batch_size)
        update.gamma, update.target_entropy = self.gamma, float(self.target_entropy)
        if self.log_ent_coef is None:
            update.temperature = self.ent_coef_tensor.item()
        shape = (batch_size, update.action_size)
        self._losses = {}
        for index in range(gradient_steps):
            noise = {"noise": torch.randn(shape), "next_noise": torch.randn(shape)}
            held = bindings.draw(self.replay_buffer, self._vec_normalize_env, **noise)  # type: ignore[arg-type]
            bindings.compiled.pp_sac_update_critics(update)
            bindings.compiled.pp_sac_update_actor(update)
            del held
            after_step(self.actor.optimizer)
            if index % self.target_update_interval == 0:
                bindings.polyak_update(self.tau)
                copy_statistics(self.batch_norm_stats_target, self.batch_norm_stats)
            self._remember(0, 1, 3)
            if self.log_ent_coef is not None:
                self._remember(2)
        self._tell()
        self._n_updates += gradient_steps
