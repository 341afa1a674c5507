"""What every runtime does: act with one artifact, one observation or a batch at a time."""

from __future__ import annotations

from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from policypress_runtime.contract import Contract, Discrete
from policypress_runtime.errors import ObservationError
from policypress_runtime.runtimes.masking import action_among
from policypress_runtime.runtimes.memory import for_caller, from_caller, together
from policypress_runtime.runtimes.observation import (
    Array,
    Observation,
    batches_of,
    channels_first,
    is_single,
    key_of,
    one_row,
)

RuntimeName = Literal["native", "onnxruntime"]
RuntimeChoice = Literal["auto", "native", "onnxruntime"]
NATIVE: RuntimeName = "native"
ONNXRUNTIME: RuntimeName = "onnxruntime"


@runtime_checkable
class Runtime(Protocol):
    """A loaded artifact. Those that inherit from it have their ``predict`` from here.

    ``name`` is the runtime's own, for records; ``notices`` tell the user about the choice.
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

    def reset(self) -> None:
        """Begin an episode: :meth:`act` forgets what it met. Without memory there is nothing to do."""
        return

    @property
    def state(self) -> dict[str, Array]:
        """What :meth:`act` remembers, by name and without a batch axis; empty for a policy without memory."""
        return {}

    def run_batch(self, observations: Observation) -> dict[str, Array]:
        """Every output by name for a batch."""
        ...

    def act_masked(self, observation: Observation, action_masks: Any) -> Any:
        """The best allowed action for one observation, where actions are chosen among scores.

        Args:
            observation: as for :meth:`act`.
            action_masks: which actions are allowed; see :func:`~policypress_runtime.runtimes.masking.action_among`.
        """
        space = self.contract.action_space
        found = action_among(self._scores(one_row(observation, self.contract.inputs)), action_masks, space)[0]
        return int(found) if isinstance(space, Discrete) else found.astype(self._action_dtype())

    def _scores(self, observations: Observation) -> Array:
        scores = self.run_batch(observations).get("scores")
        if scores is None:
            raise ObservationError(
                "An action mask needs actions that are chosen among scores.", got=str(self.contract.action_space)
            )
        return scores

    def _action_dtype(self) -> str:
        return next(spec.dtype for spec in self.contract.outputs if spec.name == "action")

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
        action_masks: Any = None,
    ) -> tuple[Array, tuple[Array, ...] | None]:
        """Stable-Baselines3's signature: one observation or a batch in, actions and the next state out.

        The state is that of sb3-contrib's RecurrentPPO: a tuple of arrays with the batch as second axis, as this method
        returned it, or None at the start of an episode; where ``episode_start`` is true, a row starts anew. What
        :meth:`act` remembers has nothing to do with it. Without memory no state comes out.

        An artifact is deterministic; ``deterministic=False`` is accepted and changes nothing. ``action_masks`` are
        those of sb3-contrib's MaskablePPO: only what they allow is chosen. An image may have its channels last where
        the input has them first.
        """
        if "transpose_image" not in self.contract.folded:
            observation = channels_first(observation, self.contract.inputs)
        if self.contract.state:
            return self._predict_with_state(observation, state, episode_start, action_masks)
        if action_masks is not None:
            if is_single(observation, self.contract.inputs):
                return np.asarray(self.act_masked(observation, action_masks)), None
            chosen = action_among(self._scores(observation), action_masks, self.contract.action_space)
            return chosen.astype(self._action_dtype()), None
        if is_single(observation, self.contract.inputs):
            return np.asarray(self.act(observation)), None
        return self.act_batch(observation), None

    def _predict_with_state(
        self, observation: Observation, state: Any, episode_start: Any, action_masks: Any
    ) -> tuple[Array, tuple[Array, ...]]:
        specs, inputs = self.contract.state, self.contract.inputs
        if action_masks is not None:
            raise ObservationError("A policy with memory takes no action masks.", got="action_masks", expected="None")
        single = is_single(observation, inputs)
        rows = batches_of(one_row(observation, inputs) if single else observation, inputs)
        count = len(next(iter(rows.values())))
        given = from_caller(state, specs, count, episode_start)
        outputs = self.run_batch(together({key_of(spec): rows[spec.name] for spec in inputs}, given))
        after = for_caller({spec.name: outputs[spec.next_name] for spec in specs}, specs)
        return (outputs["action"][0] if single else outputs["action"]), after
