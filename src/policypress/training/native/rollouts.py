"""Addresses of what PPO and TRPO learn from a rollout."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.buffers import RolloutBuffer

from policypress.training.fast.adam import AdamStep
from policypress.training.native.addresses import Scratch, check_optimizer, network_of, settings_of, tensor_of
from policypress.training.native.layout import ROLLOUT, Rollout
from policypress.training.native.networks import ActorCritic, parameters_of

LOSSES = ("policy_gradient_loss", "value_loss", "entropy_loss", "loss", "clip_fraction", "approx_kl")


class RolloutWiring:
    """One :class:`Rollout` for the networks of PPO or TRPO, kept right as their tensors come and go.

    Args:
        library: the compiled update.
        networks: of the policy.
        optimizer: of all its parameters.
        action_size: numbers in an action, or how many actions there are.
        learns_actor: whether the optimizer moves the actor too.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        networks: ActorCritic,
        optimizer: torch.optim.Optimizer,
        action_size: int,
        *,
        learns_actor: bool = True,
    ) -> None:
        self.compiled, self._networks, self._optimizer = library, networks, optimizer
        self._step, self._learns_actor = AdamStep(optimizer), learns_actor
        if not learns_actor:
            critic = {id(parameter) for parameter in parameters_of(networks.critic)}
            self._step.parameters = [parameter for parameter in self._step.parameters if id(parameter) in critic]
        self._parameters = list(networks.parameters())
        self._known: list[int] = []
        self._states: list[Any] = []
        self._reserved = 0
        self.losses = np.zeros(len(LOSSES), np.float32)
        seen = networks.actor[0].parts[0].in_features
        self.rollout = Rollout(observation_size=seen, action_size=action_size)

    def prepare(self, buffer: RolloutBuffer, batch: int) -> Rollout:
        """Minibatches of this many steps of a rollout that is full, with today's addresses and learning rate.

        Raises:
            NativeUpdateError: an optimizer that is not plain Adam, or somebody wants to see gradients.
        """
        check_optimizer(self._optimizer)
        self._step.begin()
        known, states = [tensor.data_ptr() for tensor in self._parameters], list(self._now())
        if known != self._known or any(state is not now for state, now in zip(self._states, states, strict=True)):
            self._wire()
            self._known, self._states = known, states
        self.rollout.adam = settings_of(self._optimizer)
        self._reserve(batch)
        # Held until the next rollout: C reads their memory.
        self._arrays = {name: flat(getattr(buffer, name), buffer) for name in ROLLOUT}
        for name, array in self._arrays.items():
            setattr(self.rollout, name, array.ctypes.data)
        return self.rollout

    def learn(self, places: npt.NDArray[np.int64]) -> bool:
        """Learn from a minibatch; False where the policy has moved too far, and nothing was learned."""
        return bool(self.compiled.pp_learn_rollout(self.rollout, places.ctypes.data, len(places)))

    def learn_values(self, places: npt.NDArray[np.int64]) -> float:
        """Only the critic learns from a minibatch; gives its loss."""
        self.compiled.pp_learn_returns(self.rollout, places.ctypes.data, len(places))
        return float(self.losses[LOSSES.index("value_loss")])

    def _now(self) -> Iterator[Any]:
        state = self._optimizer.state
        for parameter in self._step.parameters:
            yield state.get(parameter)

    def _wire(self) -> None:
        """Write every address anew."""
        networks, state, rollout = self._networks, self._optimizer.state, self.rollout
        rollout.critic = network_of(networks.critic, state)
        rollout.actor = network_of(networks.actor, state if self._learns_actor else None)
        if networks.log_std is not None and self._learns_actor:
            rollout.log_std = tensor_of(networks.log_std, state)
        rollout.losses = self.losses.ctypes.data

    def _reserve(self, batch: int) -> None:
        """Scratch memory for minibatches of this size."""
        rollout = self.rollout
        if rollout.scratch is None or self._reserved != batch:
            rollout.batch, rollout.scratch = batch, None
            self._scratch = Scratch(self.compiled.pp_rollout_scratch_bytes(rollout))
            rollout.scratch, self._reserved = self._scratch.address, batch


def flat(array: npt.NDArray[Any], buffer: RolloutBuffer) -> npt.NDArray[np.float32]:
    """A rollout's array in rows of steps, one environment after the other, as the library flattens it."""
    found = array if buffer.generator_ready else buffer.swap_and_flatten(array)
    return np.ascontiguousarray(found, np.float32)
