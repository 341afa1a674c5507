"""What the fast algorithms share: lean collection of transitions, fused updates of target networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import RolloutReturn, TrainFreq
from stable_baselines3.common.utils import should_collect_more_steps
from stable_baselines3.common.vec_env import VecEnv, VecNormalize, is_vecenv_wrapped

from policypress_train.fast.replay import LeanReplayBuffer
from policypress_train.qat.layers import FakeQuantized

# Scalars with an ``item()``.
Losses = dict[str, list[Any]]


class LeanCollecting(OffPolicyAlgorithm):
    """Mixin: the library's collection of transitions, step by step the same, with less overhead."""

    _losses: Losses

    def _setup_model(self) -> None:
        plain = isinstance(self.observation_space, spaces.Box) and self.n_steps == 1 and not self.optimize_memory_usage
        normalised = self.env is not None and is_vecenv_wrapped(self.env, VecNormalize)
        if plain and not normalised and self.replay_buffer_class is None:
            self.replay_buffer_class = LeanReplayBuffer
        super()._setup_model()
        self._losses = {}
        for module in self.policy.modules():
            if type(module) is torch.nn.ReLU:
                module.inplace = True  # saves a pass through memory; what it overwrites, no gradient needs
        self._switches = switched_modules(self.policy)
        self._quantized = {
            network: [layer for layer in network.modules() if isinstance(layer, FakeQuantized)]
            for network in self.policy.children()
        }

    def _excluded_save_params(self) -> list[str]:
        own = ["_losses", "_switches", "_quantized", "_steps", "replay_buffer_class"]
        return [*super()._excluded_save_params(), *own]

    def switch_training(self, training: bool) -> None:
        """What ``policy.set_training_mode`` does, without walking the modules."""
        for module in self._switches:
            vars(module)["training"] = training

    def trust(self, trusted: bool) -> None:
        """Whether layers that cache rounded weights may trust :meth:`changed` to announce every change."""
        for layers in self._quantized.values():
            for layer in layers:
                layer.trust(trusted)

    def changed(self, network: torch.nn.Module) -> None:
        """Call after parameters or statistics of ``network``, one of the policy's, have changed."""
        for layer in self._quantized[network]:
            layer.changed()

    def dump_logs(self) -> None:
        """Log what the library logs; losses are read from their tensors only now."""
        for name, tensors in self._losses.items():
            if tensors:
                self.logger.record(name, float(np.mean([tensor.item() for tensor in tensors])))
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        super().dump_logs()

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        train_freq: TrainFreq,
        replay_buffer: ReplayBuffer,
        action_noise: ActionNoise | None = None,
        learning_starts: int = 0,
        log_interval: int | None = None,
    ) -> RolloutReturn:
        """Collect ``train_freq`` transitions or episodes, as in the library."""
        self.switch_training(False)
        steps = episodes = 0
        if self.use_sde:
            self.actor.reset_noise(env.num_envs)  # type: ignore[operator]
        callback.on_rollout_start()
        self.trust(True)
        while should_collect_more_steps(train_freq, steps, episodes):
            if self.use_sde and self.sde_sample_freq > 0 and steps % self.sde_sample_freq == 0:
                self.actor.reset_noise(env.num_envs)  # type: ignore[operator]
            actions, stored = self._sample_action(learning_starts, action_noise, env.num_envs)
            new_obs, rewards, dones, infos = env.step(actions)
            self.num_timesteps += env.num_envs
            steps += 1
            callback.update_locals({"infos": infos, "dones": dones})
            if not callback.on_step():
                return RolloutReturn(steps * env.num_envs, episodes, continue_training=False)
            self._store_transition(replay_buffer, stored, new_obs, rewards, dones, infos)  # type: ignore[arg-type]
            self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
            self._on_step()
            if dones.any():
                self._update_info_buffer(infos, dones)
                episodes += self._finish(dones, action_noise, log_interval)
        callback.on_rollout_end()
        return RolloutReturn(steps * env.num_envs, episodes, continue_training=True)

    def _finish(self, dones: npt.NDArray[np.bool_], noise: ActionNoise | None, log_interval: int | None) -> int:
        """Count the episodes that ended, and do what the library does at each end."""
        ended = np.flatnonzero(dones)
        for index in ended:
            self._episode_num += 1
            if noise is not None:
                noise.reset(**({"indices": [index]} if len(dones) > 1 else {}))
            if log_interval is not None and self._episode_num % log_interval == 0:
                self.dump_logs()
        return len(ended)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> Any:
        """As in the library; exploration skips its checks."""
        if deterministic or not isinstance(self.observation_space, spaces.Box) or observation is not self._last_obs:
            return super().predict(observation, state, episode_start, deterministic)
        with torch.no_grad():
            seen = torch.from_numpy(np.ascontiguousarray(observation)).to(self.device)
            actions = self.policy._predict(seen, deterministic=False).cpu().numpy()
        actions = actions.reshape((-1, *(self.action_space.shape or ())))
        return (self.policy.unscale_action(actions) if isinstance(self.action_space, spaces.Box) else actions), state


def switched_modules(policy: BasePolicy) -> list[torch.nn.Module]:
    """The modules whose mode ``set_training_mode`` sets; target networks are not among them."""
    policy.set_training_mode(True)
    on = {module for module in policy.modules() if module.training}
    policy.set_training_mode(False)
    return [module for module in policy.modules() if module in on and not module.training]


def soft_update(targets: list[torch.Tensor], sources: list[torch.Tensor], tau: float | int) -> None:
    """Polyak update of target tensors: θ' ← (1 − τ) θ' + τ θ."""
    torch._foreach_mul_(targets, 1 - tau)
    torch._foreach_add_(targets, sources, alpha=tau)


def copy_statistics(targets: list[torch.Tensor], sources: list[torch.Tensor]) -> None:
    """Copy a network's running statistics to its target network."""
    if targets:
        torch._foreach_copy_(targets, sources)


def data_of(parameters: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """The parameters' data tensors, to be changed in place."""
    return [parameter.data for parameter in parameters]


@contextmanager
def no_denormals() -> Iterator[None]:
    """Flush denormals to zero: the Adam moments of dead units end there, and each costs a hundred cycles."""
    can = torch.set_flush_denormal(True)
    try:
        yield
    finally:
        if can:
            torch.set_flush_denormal(False)
