"""Bindings of an off-policy update: pointers to parameters, optimizer state, batches and scratch memory."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from policypress_train.fast.adam import AdamStep
from policypress_train.fast.replay import LeanReplayBuffer
from policypress_train.native.inference import Inference
from policypress_train.native.layout import MEMORY, Memory, Update
from policypress_train.native.networks import Networks
from policypress_train.native.pointers import (
    Scratch,
    check_optimizer,
    network_array,
    network_of,
    settings_of,
    tensor_of,
)

Floats = npt.NDArray[np.float32]
LOSSES = ("train/critic_loss", "train/actor_loss", "train/ent_coef_loss", "train/ent_coef")


class UpdateBindings:
    """The :class:`Update` structure of an algorithm, kept current when tensors are replaced.

    C works on torch's own tensors: what is loaded, saved or changed in torch is what C reads.

    Args:
            library: the compiled update.
            networks: of the algorithm.
            optimizers: of actor, critics, and the temperature where it is learned.
            log_temperature: the parameter of the last.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        networks: Networks,
        optimizers: tuple[torch.optim.Optimizer, ...],
        log_temperature: torch.Tensor | None = None,
    ) -> None:
        self.compiled, self._networks, self._log_temperature = library, networks, log_temperature
        self._steps = [AdamStep(optimizer) for optimizer in optimizers]
        self._optimizers = optimizers
        self._parameters = [*networks.parameters(), *([] if log_temperature is None else [log_temperature])]
        self.acting = Inference(library, networks.actor)
        self._chosen: torch.Tensor | None = None
        self._cached: list[int] = []
        self._states: list[Any] = [None for _ in self._now()]
        self._kept: list[Any] = []
        self._reserved = 0
        self._drawn: dict[str, torch.Tensor] | None = None
        self.losses = np.zeros(len(LOSSES), np.float32)
        self.update = Update(observation_size=networks.observation_size, action_size=networks.action_size)

    def prepare(self, batch: int) -> Update:
        """The update for batches of this many transitions, with current pointers and learning rates.

        Raises:
            NativeUpdateError: an optimizer that is not plain Adam, or that has a hook which reads gradients.
        """
        for step, optimizer in zip(self._steps, self._optimizers, strict=True):
            check_optimizer(optimizer)
            step.begin()
        cached = [tensor.data_ptr() for tensor in self._parameters]
        if cached != self._cached or any(
            state is not now for state, now in zip(self._states, self._now(), strict=True)
        ):
            self._bind()
            self._cached, self._states = cached, list(self._now())
        names = ("actor_adam", "critic_adam", "temperature_adam")
        for name, optimizer in zip(names, self._optimizers, strict=False):
            setattr(self.update, name, settings_of(optimizer))
        self._reserve(batch)
        return self.update

    def draw(self, buffer: ReplayBuffer, normaliser: VecNormalize | None, **noise: torch.Tensor) -> list[Any]:
        """Sample a batch and bind it with its noise. Keep what is returned until the update has run."""
        size = self.update.batch
        if normaliser is not None or type(buffer) is not LeanReplayBuffer or not _is_plain(buffer):
            return self.read(buffer.sample(size, env=normaliser), **noise)
        if self._drawn is None or len(self._drawn["rewards"]) != size:
            widths = (self._networks.observation_size, self._networks.action_size)
            shapes = {"observations": widths[0], "next_observations": widths[0], "actions": max(widths[1], 1)}
            self._drawn = {name: torch.empty((size, shapes.get(name, 1))) for name in MEMORY[:-1]}
        self.update.discounts = None
        for name, tensor in (self._drawn | noise).items():
            setattr(self.update, name, tensor.data_ptr())
        indices = buffer.indices(size)
        memory = Memory(*(getattr(buffer, name).ctypes.data for name in MEMORY))
        self.compiled.pp_sample_replay(memory, indices.ctypes.data, self.update)
        if not self._networks.action_size:  # action indices, which are not float32
            self._drawn["actions"].numpy()[:, 0] = buffer.actions.reshape(-1)[indices]
        return list(noise.values())

    def read(self, batch: ReplayBufferSamples, **noise: torch.Tensor) -> list[Any]:
        """Bind a batch and its noise. Keep what is returned until the update has run: it owns the memory."""
        found = {
            "observations": batch.observations,
            "actions": batch.actions,
            "next_observations": batch.next_observations,
            "rewards": batch.rewards,
            "dones": batch.dones,
            **noise,
        }
        if batch.discounts is not None:
            found["discounts"] = batch.discounts
        held = {name: _plain(tensor) for name, tensor in found.items()}
        self.update.discounts = None
        for name, tensor in held.items():
            setattr(self.update, name, tensor.data_ptr())
        return list(held.values())

    def polyak_update(self, tau: float, *, actor: bool = False) -> None:
        """Polyak update of the target critics, and of the target actor if ``actor``."""
        update, polyak_update = self.update, self.compiled.pp_polyak_update
        polyak_update(update.critic_targets, update.critics, update.critic_count, tau)
        if actor:
            polyak_update(update.actor_target, update.actor, 1, tau)

    def act(self, observations: Floats) -> Floats:
        """Exploration actions in [−1, 1] for a few contiguous observations ``(rows, features)``."""
        given, actions = self.acting(observations), self._networks.action_size
        if self._chosen is None or len(self._chosen) != len(given):
            self._chosen = torch.empty((len(given), actions))
            self._noise = torch.empty_like(self._chosen) if given.shape[1] > actions else None
        drawn = None if self._noise is None else self._noise.normal_().data_ptr()
        self.compiled.pp_explore(given.ctypes.data, drawn, len(given), actions, self._chosen.data_ptr())
        return self._chosen.numpy().copy()

    def _now(self) -> Iterator[Any]:
        """The optimizer state of each parameter; loading or creating a state replaces the whole object."""
        for step, optimizer in zip(self._steps, self._optimizers, strict=True):
            state = optimizer.state
            for parameter in step.parameters:
                yield state.get(parameter)

    def _bind(self) -> None:
        """Write all pointers again."""
        networks, update = self._networks, self.update
        actor, critic = self._optimizers[0].state, self._optimizers[-1 if len(self._optimizers) < 2 else 1].state
        critics = [network_of(layers, critic) for layers in networks.critics]
        targets = [network_of(layers, None) for layers in networks.critic_targets]
        update.actor = network_of(networks.actor, actor)
        update.critics, update.critic_targets = network_array(critics), network_array(targets)
        update.critic_count = len(critics)
        if networks.actor_target is not None:
            update.actor_target = network_of(networks.actor_target, None)
        if self._log_temperature is not None:
            update.log_temperature = tensor_of(self._log_temperature, self._optimizers[2].state)
        update.losses = self.losses.ctypes.data
        self._kept = [critics, targets]

    def _reserve(self, batch: int) -> None:
        """Allocate scratch memory for this batch size, aligned to a cache line."""
        update = self.update
        update.batch = batch
        if update.scratch is None or self._reserved != batch:
            update.scratch = None
            self._scratch = Scratch(self.compiled.pp_scratch_bytes(update))
            update.scratch, self._reserved = self._scratch.address, batch


def _is_plain(buffer: ReplayBuffer) -> bool:
    """Whether a replay buffer is contiguous float32; discrete actions may be integers."""
    arrays = [getattr(buffer, name) for name in MEMORY]
    if isinstance(buffer.action_space, spaces.Discrete):
        arrays = [array for array in arrays if array is not buffer.actions]
    return all(array.dtype == np.float32 and array.flags.c_contiguous for array in arrays)


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.dtype is torch.float32 and tensor.is_contiguous() else tensor.float().contiguous()
