"""Addresses: where C finds parameters, optimizer state, batches and scratch memory."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from policypress.training.fast.adam import AdamStep
from policypress.training.fast.replay import LeanReplayBuffer
from policypress.training.native.layout import MEMORY, AdamSettings, Layer, Memory, Network, Quantizer, Tensor, Update
from policypress.training.native.networks import Layers, Networks, parameters_of, refused
from policypress.training.qat.layers import FakeQuantized

Floats = npt.NDArray[np.float32]
LOSSES = ("train/critic_loss", "train/actor_loss", "train/ent_coef_loss", "train/ent_coef")
_LINE = 64
_SPECIAL = ("amsgrad", "maximize", "capturable", "differentiable")
_STATE = ("exp_avg", "exp_avg_sq", "step")


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
        self._acting = list(parameters_of(networks.actor))
        self._known: list[int] = []
        self._states: list[Any] = [None for _ in self._now()]
        self._actor_known: list[int] = []
        self._kept: list[Any] = []
        self._reserved = 0
        self._drawn: dict[str, torch.Tensor] | None = None
        self.losses = np.zeros(len(LOSSES), np.float32)
        self.update = Update(observation_size=networks.observation_size, action_size=networks.action_size)

    def prepare(self, batch: int) -> Update:
        """The update for batches of this many transitions, with today's addresses and learning rates.

        Raises:
            TrainingInputError: an optimizer that is not plain Adam, or somebody wants to see gradients.
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
            setattr(self.update, name, _settings(optimizer.param_groups[0]))
        self._reserve(batch)
        return self.update

    def draw(self, buffer: ReplayBuffer, normaliser: VecNormalize | None, **noise: torch.Tensor) -> list[Any]:
        """Draw a batch, and hand it in with random numbers; what comes back holds their memory until they were used."""
        size = self.update.batch
        if normaliser is not None or type(buffer) is not LeanReplayBuffer or not _is_plain(buffer):
            return self.read(buffer.sample(size, env=normaliser), **noise)
        if self._drawn is None or len(self._drawn["rewards"]) != size:
            widths = (self._networks.observation_size, self._networks.action_size)
            shapes = {"observations": widths[0], "next_observations": widths[0], "actions": widths[1]}
            self._drawn = {name: torch.empty((size, shapes.get(name, 1))) for name in MEMORY[:-1]}
        self.update.discounts = None
        for name, tensor in (self._drawn | noise).items():
            setattr(self.update, name, tensor.data_ptr())
        places = buffer.places(size)
        memory = Memory(*(getattr(buffer, name).ctypes.data for name in MEMORY))
        self.compiled.pp_draw(memory, places.ctypes.data, self.update)
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
        act, rows = self.compiled.pp_act, len(observations)
        known = [rows, *[tensor.data_ptr() for tensor in self._acting]]
        if known != self._actor_known:
            self._actor, self._actor_known = _network(self._networks.actor, None), known
            self._rows = _Scratch(act(self._actor, None, rows, None, None))
            given = self._actor.layers[self._actor.count - 1].outputs
            self._given = torch.empty((rows, given))
            self._chosen = torch.empty((rows, self._networks.action_size))
            self._noise = torch.empty_like(self._chosen) if given > self._networks.action_size else None
        given, chosen, noise = self._given.data_ptr(), self._chosen.data_ptr(), self._noise
        act(self._actor, observations.ctypes.data, rows, self._rows.address, given)
        drawn = None if noise is None else noise.normal_().data_ptr()
        self.compiled.pp_explore(given, drawn, rows, self._networks.action_size, chosen)
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
        actor, critic = self._optimizers[0].state, self._optimizers[1].state
        critics = [_network(layers, critic) for layers in networks.critics]
        targets = [_network(layers, None) for layers in networks.critic_targets]
        update.actor = _network(networks.actor, actor)
        update.critics, update.critic_targets = _row(critics), _row(targets)
        update.critic_count = len(critics)
        if networks.actor_target is not None:
            update.actor_target = _network(networks.actor_target, None)
        if self._log_temperature is not None:
            update.log_temperature = _tensor(self._log_temperature, self._optimizers[2].state)
        update.losses = self.losses.ctypes.data
        self._kept = [critics, targets]

    def _reserve(self, batch: int) -> None:
        """Scratch memory for this size of batch, on a cache line."""
        update = self.update
        update.batch = batch
        if update.scratch is None or self._reserved != batch:
            update.scratch = None
            self._scratch = _Scratch(self.compiled.pp_scratch_bytes(update))
            update.scratch, self._reserved = self._scratch.address, batch


class _Scratch:
    """Zeros on a cache line."""

    def __init__(self, size_bytes: int) -> None:
        self._memory = np.zeros(size_bytes + _LINE, np.uint8)
        self.address = self._memory.ctypes.data + (-self._memory.ctypes.data) % _LINE


def check_optimizer(optimizer: torch.optim.Optimizer) -> None:
    """Check that an optimizer is one whose steps are known.

    Raises:
        TrainingInputError: it is not plain Adam with one group, or somebody wants to see gradients.
    """
    if type(optimizer) is not torch.optim.Adam or len(optimizer.param_groups) != 1:
        raise refused(f"{type(optimizer).__name__} with {len(optimizer.param_groups)} groups", "Adam with one group")
    special = [name for name in _SPECIAL if optimizer.param_groups[0][name]]
    if special:
        raise refused(f"Adam with {', '.join(special)}", "plain Adam")
    if optimizer._optimizer_step_pre_hooks:
        raise refused("a hook in front of the optimizer's steps", "none: gradients are not seen")


def after_step(optimizer: torch.optim.Optimizer) -> None:
    """What was registered to run behind the optimizer's own steps."""
    for hook in list(optimizer._optimizer_step_post_hooks.values()):
        hook(optimizer, (), {})


def _settings(group: dict[str, Any]) -> AdamSettings:
    first, second = group["betas"]
    numbers = (group["lr"], first, second, group["eps"], group["weight_decay"])
    return AdamSettings(*(float(number) for number in numbers))


def _is_plain(buffer: ReplayBuffer) -> bool:
    """Whether a memory holds float32 numbers row by row."""
    arrays = [getattr(buffer, name) for name in MEMORY]
    return all(array.dtype == np.float32 and array.flags.c_contiguous for array in arrays)


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.dtype is torch.float32 and tensor.is_contiguous() else tensor.float().contiguous()


def _tensor(parameter: torch.Tensor, state: Any) -> Tensor:
    if state is None:
        return Tensor(parameter.data_ptr(), None, None, None)
    return Tensor(parameter.data_ptr(), *(state[parameter][name].data_ptr() for name in _STATE))


def _quantizer(layer: FakeQuantized) -> Quantizer:
    settings = layer.settings
    extents = [layer.get_buffer(f"running_{name}").data_ptr() for name in ("min", "max")]
    peak = layer.get_buffer("running_peak").data_ptr() if settings.scaled else None
    weight_steps, input_steps = 2 ** (settings.weight_bits - 1) - 1, 2**settings.activation_bits - 1
    return Quantizer(*extents, peak, weight_steps, input_steps, settings.per_channel, layer.rectifies)


def _network(layers: Layers, state: Any) -> Network:
    """The network; it keeps its layers alive."""
    array = (Layer * len(layers))()
    for index, place in enumerate(layers):
        made, parts = array[index], place.parts
        made.inputs, made.parts, made.rectified = parts[0].in_features, len(parts), place.rectified
        made.outputs = sum(part.out_features for part in parts)
        for part, linear in enumerate(parts):
            made.weight[part] = _tensor(linear.weight, state)
            made.bias[part] = _tensor(linear.bias, state)
            if isinstance(linear, FakeQuantized):
                made.quantizer[part] = _quantizer(linear)
    return Network(array, len(layers))


def _row(networks: Iterable[Network]) -> Any:
    found = list(networks)
    return (Network * len(found))(*found)
