"""What every runtime does: act with one artifact, one observation or a batch at a time."""

from __future__ import annotations

from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from policypress.contract import Contract
from policypress.runtime.observation import Array, Observation, is_single

RuntimeName = Literal["native", "onnxruntime"]
RuntimeChoice = Literal["auto", "native", "onnxruntime"]
NATIVE: RuntimeName = "native"
ONNXRUNTIME: RuntimeName = "onnxruntime"


@runtime_checkable
class Runtime(Protocol):
    """A loaded artifact. Those that inherit from it have their ``predict`` from here.

    ``name`` is the runtime's own, for records; ``notices`` are what the user should be told of the choice.
    Observations and actions are as in the contract: whatever numpy makes an array of goes in, an ``int`` comes out
    for Discrete and an array of the caller's own otherwise. Every method raises ``ObservationError`` for wrong keys,
    shapes and dtypes, and for values that are not finite.
    """

    name: str
    contract: Contract
    notices: tuple[str, ...]

    def act(self, observation: Observation) -> Any:
        """The action for one observation."""
        ...

    def act_batch(self, observations: Observation) -> Array:
        """The actions for a batch, batch axis first."""
        ...

    def run_batch(self, observations: Observation) -> dict[str, Array]:
        """Every output by name for a batch."""
        ...

    def predict(
        self,
        observation: Observation,
        state: None = None,
        episode_start: Array | None = None,
        deterministic: bool = True,
    ) -> tuple[Array, None]:
        """Stable-Baselines3's signature: one observation or a batch in, actions and no state out.

        An artifact is deterministic; ``deterministic=False`` is accepted and changes nothing.
        """
        if is_single(observation, self.contract.inputs):
            return np.asarray(self.act(observation)), None
        return self.act_batch(observation), None
