"""Bindings of a rollout for PPO and TRPO."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.buffers import RolloutBuffer

from policypress_train.fast.adam import AdamStep
from policypress_train.native.layout import ROLLOUT, Rollout
from policypress_train.native.networks import ActorCritic, parameters_of
from policypress_train.native.pointers import Scratch, check_optimizer, network_of, settings_of, tensor_of

LOSSES = ("policy_gradient_loss", "value_loss", "entropy_loss", "loss", "clip_fraction", "approx_kl")


class RolloutBindings:
    """The :class:`Rollout` structure of PPO or TRPO, kept current when tensors are replaced.

    Args:
        library: the compiled update.
        networks: of the policy.
        optimizer: of all its parameters.
        action_size: size of an action, or number of discrete actions.
        learns_actor: whether the optimizer updates the actor too.
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
        self._cached: list[int] = []
        self._states: list[Any] = []
        self._reserved = 0
        self.losses = np.zeros(len(LOSSES), np.float32)
        seen = networks.actor[0].parts[0].in_features
        self.rollout = Rollout(observation_size=seen, action_size=action_size)

    def prepare(self, buffer: RolloutBuffer, batch: int) -> Rollout:
        """The structure for minibatches of a full rollout, with current pointers and learning rate.

        Raises:
            NativeUpdateError: an optimizer that is not plain Adam, or that has a hook which reads gradients.
        """
        check_optimizer(self._optimizer)
        self._step.begin()
        cached, states = [tensor.data_ptr() for tensor in self._parameters], list(self._now())
        if cached != self._cached or any(state is not now for state, now in zip(self._states, states, strict=True)):
            self._bind()
            self._cached, self._states = cached, states
        self.rollout.adam = settings_of(self._optimizer)
        self._reserve(batch)
        # Kept alive until the next rollout: C reads their memory.
        self._arrays = {name: flat(getattr(buffer, name), buffer) for name in ROLLOUT}
        for name, array in self._arrays.items():
            setattr(self.rollout, name, array.ctypes.data)
        return self.rollout

    def learn(self, indices: npt.NDArray[np.int64]) -> bool:
        """One gradient step on a minibatch; False if the KL limit was exceeded and no step was taken."""
        return bool(self.compiled.pp_ppo_update(self.rollout, indices.ctypes.data, len(indices)))

    def learn_values(self, indices: npt.NDArray[np.int64]) -> float:
        """One gradient step of the critic alone; returns its loss."""
        self.compiled.pp_fit_values(self.rollout, indices.ctypes.data, len(indices))
        return float(self.losses[LOSSES.index("value_loss")])

    def _now(self) -> Iterator[Any]:
        state = self._optimizer.state
        for parameter in self._step.parameters:
            yield state.get(parameter)

    def _bind(self) -> None:
        """Write all pointers again."""
        networks, state, rollout = self._networks, self._optimizer.state, self.rollout
        rollout.critic = network_of(networks.critic, state)
        rollout.actor = network_of(networks.actor, state if self._learns_actor else None)
        if networks.log_std is not None and self._learns_actor:
            rollout.log_std = tensor_of(networks.log_std, state)
        rollout.losses = self.losses.ctypes.data

    def _reserve(self, batch: int) -> None:
        """Allocate scratch memory for minibatches of this size."""
        rollout = self.rollout
        if rollout.scratch is None or self._reserved != batch:
            rollout.batch, rollout.scratch = batch, None
            self._scratch = Scratch(self.compiled.pp_rollout_scratch_bytes(rollout))
            rollout.scratch, self._reserved = self._scratch.address, batch


def flat(array: npt.NDArray[Any], buffer: RolloutBuffer) -> npt.NDArray[np.float32]:
    """A rollout's array flattened as the library does: steps in rows, one environment after the other."""
    found = array if buffer.generator_ready else buffer.swap_and_flatten(array)
    return np.ascontiguousarray(found, np.float32)
