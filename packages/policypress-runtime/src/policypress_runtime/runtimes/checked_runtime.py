"""A runtime in terms of one function: checked arrays in, outputs out. For engines whose own overhead hides the rest."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from policypress_runtime.contract import Contract, Discrete
from policypress_runtime.runtimes.memory import refuse_memory
from policypress_runtime.runtimes.observation import Array, Observation, batches_of, fill, part_of
from policypress_runtime.runtimes.protocol import Runtime


class CheckedRuntime(Runtime):
    """What :class:`~policypress_runtime.runtimes.protocol.Runtime` asks for, by :meth:`_run`.

    Args:
        contract: of the artifact.
    """

    name: str
    notices: tuple[str, ...] = ()

    def __init__(self, contract: Contract) -> None:
        refuse_memory(contract, self.name)
        self.contract = contract
        self._buffers = {spec.name: np.zeros((1, *spec.shape), spec.dtype) for spec in contract.inputs}
        self._integer_action = isinstance(contract.action_space, Discrete)

    @abstractmethod
    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name, in the dtypes of the contract and the caller's own, for inputs by name, batch first."""

    def act(self, observation: Observation) -> Any:
        """Action for one observation (no batch axis); an ``int`` for Discrete, else an array.

        Raises:
            ObservationError: wrong keys, wrong shape, or a value that is not finite.
        """
        for spec in self.contract.inputs:
            fill(self._buffers[spec.name], spec, part_of(observation, spec, self.contract.inputs))
        action = self._run(self._buffers)["action"][0]
        return int(action) if self._integer_action else action

    def act_batch(self, observations: Observation) -> Array:
        """Actions for a batch of observations, batch axis first."""
        return self.run_batch(observations)["action"]

    def run_batch(self, observations: Observation) -> dict[str, Array]:
        """Every output by name (``action``, and ``scores`` where actions are discrete) for a batch.

        Raises:
            ObservationError: wrong keys, wrong shape, or a value that is not finite.
        """
        feeds = batches_of(observations, self.contract.inputs)
        rows = len(next(iter(feeds.values())))
        if rows == 0:
            return {spec.name: np.zeros((0, *spec.shape), spec.dtype) for spec in self.contract.outputs}
        if self.contract.batch_independent:
            return self._run(feeds)
        single = [self._run({name: array[i : i + 1] for name, array in feeds.items()}) for i in range(rows)]
        return {name: np.concatenate([result[name] for result in single]) for name in single[0]}
