"""Addresses: where C finds parameters, optimizer state, batches and scratch memory."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from policypress.training.fast.adam import AdamStep
from policypress.training.native.layout import AdamSettings, Layer, Network, Quantizer, Tensor, Update
from policypress.training.native.networks import Layers, Networks, parameters_of, refused
from policypress.training.qat.layers import FakeQuantized

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
        self.library, self._networks, self._log_temperature = library, networks, log_temperature
        self._steps = [AdamStep(optimizer) for optimizer in optimizers]
        self._optimizers = optimizers
        self._parameters = list(networks.parameters())
        self._acting = list(parameters_of(networks.actor))
        self._known: tuple[int, ...] = ()
        self._actor_known: tuple[int, ...] = ()
        self._kept: list[Any] = []
        self._reserved = 0
        self.losses = np.zeros(len(LOSSES), np.float32)
        self.update = Update()

    def prepare(self, batch: int) -> Update:
        """The update for batches of this many transitions, with today's addresses and learning rates.

        Raises:
            TrainingInputError: an optimizer that is not plain Adam, or somebody wants to see gradients.
        """
        for step, optimizer in zip(self._steps, self._optimizers, strict=True):
            check_optimizer(optimizer)
            step.begin()
        known = tuple(tensor.data_ptr() for tensor in self._tensors())
        if known != self._known:
            self._wire()
            self._known = known
        names = ("actor_adam", "critic_adam", "temperature_adam")
        for name, optimizer in zip(names, self._optimizers, strict=False):
            setattr(self.update, name, _settings(optimizer.param_groups[0]))
        self._reserve(batch)
        return self.update

    def read(self, batch: ReplayBufferSamples, **noise: torch.Tensor) -> list[torch.Tensor]:
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
        update, follow = self.update, self.library.pp_follow
        follow(update.critic_targets, update.critics, update.critic_count, tau)
        if actor:
            follow(update.actor_target, update.actor, 1, tau)

    def act(self, observations: torch.Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Outputs of the actor's last layer for a few observations, ``(rows, outputs)``."""
        seen, act = _plain(observations), self.library.pp_act
        known = (len(seen), *(tensor.data_ptr() for tensor in self._acting))
        if known != self._actor_known:
            self._actor = _network(self._networks.actor, None)
            self._rows = _Scratch(act(self._actor, None, len(seen), None, None))
            self._actor_known = known
        given = np.empty((len(seen), self._actor.layers[self._actor.count - 1].outputs), np.float32)
        act(self._actor, seen.data_ptr(), len(seen), self._rows.address, given.ctypes.data)
        return given

    def _tensors(self) -> Iterator[torch.Tensor]:
        yield from self._parameters
        if self._log_temperature is not None:
            yield self._log_temperature
        for step, optimizer in zip(self._steps, self._optimizers, strict=True):
            for parameter in step.parameters:
                state = optimizer.state[parameter]
                for name in _STATE:
                    yield state[name]

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
        inputs = networks.actor[0].parts[0].in_features
        update.observation_size = inputs
        update.action_size = networks.critics[0][0].parts[0].in_features - inputs
        update.losses = self.losses.ctypes.data
        self._kept = [critics, targets]

    def _reserve(self, batch: int) -> None:
        """Scratch memory for this size of batch, on a cache line."""
        update = self.update
        update.batch = batch
        if update.scratch is None or self._reserved != batch:
            update.scratch = None
            self._scratch = _Scratch(self.library.pp_scratch_bytes(update))
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
