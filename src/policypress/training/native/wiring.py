"""Addresses: where C finds parameters, optimizer state, batches and scratch memory."""

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

from policypress.training.fast.adam import AdamStep
from policypress.training.fast.replay import LeanReplayBuffer
from policypress.training.native.acting import Acting
from policypress.training.native.addresses import (
    Scratch,
    check_optimizer,
    network_of,
    row_of,
    settings_of,
    tensor_of,
)
from policypress.training.native.layout import MEMORY, Memory, Update
from policypress.training.native.networks import Networks

Floats = npt.NDArray[np.float32]
LOSSES = ("train/critic_loss", "train/actor_loss", "train/ent_coef_loss", "train/ent_coef")


class Wiring:
    """One :class:`Update` for an algorithm's networks and optimizers, kept right as their tensors come and go.

    The tensors stay torch's: what is loaded, saved or changed there is what C learns from.

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
        self.acting = Acting(library, networks.actor)
        self._chosen: torch.Tensor | None = None
        self._known: list[int] = []
        self._states: list[Any] = [None for _ in self._now()]
        self._kept: list[Any] = []
        self._reserved = 0
        self._drawn: dict[str, torch.Tensor] | None = None
        self.losses = np.zeros(len(LOSSES), np.float32)
        self.update = Update(observation_size=networks.observation_size, action_size=networks.action_size)

    def prepare(self, batch: int) -> Update:
        """The update for batches of this many transitions, with today's addresses and learning rates.

        Raises:
            NativeUpdateError: an optimizer that is not plain Adam, or somebody wants to see gradients.
        """
        for step, optimizer in zip(self._steps, self._optimizers, strict=True):
            check_optimizer(optimizer)
            step.begin()
        known = [tensor.data_ptr() for tensor in self._parameters]
        if known != self._known or any(state is not now for state, now in zip(self._states, self._now(), strict=True)):
            self._wire()
            self._known, self._states = known, list(self._now())
        names = ("actor_adam", "critic_adam", "temperature_adam")
        for name, optimizer in zip(names, self._optimizers, strict=False):
            setattr(self.update, name, settings_of(optimizer))
        self._reserve(batch)
        return self.update

    def draw(self, buffer: ReplayBuffer, normaliser: VecNormalize | None, **noise: torch.Tensor) -> list[Any]:
        """Draw a batch, and hand it in with random numbers; what comes back holds their memory until they were used."""
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
        places = buffer.places(size)
        memory = Memory(*(getattr(buffer, name).ctypes.data for name in MEMORY))
        self.compiled.pp_draw(memory, places.ctypes.data, self.update)
        if not self._networks.action_size:  # numbers of actions, which are no float32
            self._drawn["actions"].numpy()[:, 0] = buffer.actions.reshape(-1)[places]
        return list(noise.values())

    def read(self, batch: ReplayBufferSamples, **noise: torch.Tensor) -> list[Any]:
        """Hand in a batch and random numbers; what comes back holds their memory until they were used."""
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

    def follow(self, tau: float, *, actor: bool = False) -> None:
        """The critics' targets, and the actor's, go towards their sources by the share ``tau``."""
        update, follow = self.update, self.compiled.pp_follow
        follow(update.critic_targets, update.critics, update.critic_count, tau)
        if actor:
            follow(update.actor_target, update.actor, 1, tau)

    def act(self, observations: Floats) -> Floats:
        """Actions between −1 and 1 that explore, for a few observations, ``(rows, features)`` without gaps."""
        given, actions = self.acting(observations), self._networks.action_size
        if self._chosen is None or len(self._chosen) != len(given):
            self._chosen = torch.empty((len(given), actions))
            self._noise = torch.empty_like(self._chosen) if given.shape[1] > actions else None
        drawn = None if self._noise is None else self._noise.normal_().data_ptr()
        self.compiled.pp_explore(given.ctypes.data, drawn, len(given), actions, self._chosen.data_ptr())
        return self._chosen.numpy().copy()

    def _now(self) -> Iterator[Any]:
        """The optimizers' state of each parameter: what loads or makes one replaces it whole."""
        for step, optimizer in zip(self._steps, self._optimizers, strict=True):
            state = optimizer.state
            for parameter in step.parameters:
                yield state.get(parameter)

    def _wire(self) -> None:
        """Write every address anew."""
        networks, update = self._networks, self.update
        actor, critic = self._optimizers[0].state, self._optimizers[-1 if len(self._optimizers) < 2 else 1].state
        critics = [network_of(layers, critic) for layers in networks.critics]
        targets = [network_of(layers, None) for layers in networks.critic_targets]
        update.actor = network_of(networks.actor, actor)
        update.critics, update.critic_targets = row_of(critics), row_of(targets)
        update.critic_count = len(critics)
        if networks.actor_target is not None:
            update.actor_target = network_of(networks.actor_target, None)
        if self._log_temperature is not None:
            update.log_temperature = tensor_of(self._log_temperature, self._optimizers[2].state)
        update.losses = self.losses.ctypes.data
        self._kept = [critics, targets]

    def _reserve(self, batch: int) -> None:
        """Scratch memory for this size of batch, on a cache line."""
        update = self.update
        update.batch = batch
        if update.scratch is None or self._reserved != batch:
            update.scratch = None
            self._scratch = Scratch(self.compiled.pp_scratch_bytes(update))
            update.scratch, self._reserved = self._scratch.address, batch


def _is_plain(buffer: ReplayBuffer) -> bool:
    """Whether a memory holds float32 numbers row by row, and actions that are such or numbered."""
    arrays = [getattr(buffer, name) for name in MEMORY]
    if isinstance(buffer.action_space, spaces.Discrete):
        arrays = [array for array in arrays if array is not buffer.actions]
    return all(array.dtype == np.float32 and array.flags.c_contiguous for array in arrays)


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.dtype is torch.float32 and tensor.is_contiguous() else tensor.float().contiguous()
