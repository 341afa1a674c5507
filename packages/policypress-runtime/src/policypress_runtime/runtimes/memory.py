"""The memory of a policy between steps: given to every step beside the observation, and given back by it.

Inside policypress a state has the batch first. In :meth:`~policypress_runtime.runtimes.protocol.Runtime.predict` it has
the form of sb3-contrib's RecurrentPPO: a tuple of arrays, ``(layers, batch, H)`` where the artifact has
``(batch, layers, H)``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from policypress_runtime.contract import Contract, StateSpec
from policypress_runtime.errors import NoNativeFormError, ObservationError
from policypress_runtime.runtimes.observation import Array, Observation

States = dict[str, Array]


def initial_states(specs: tuple[StateSpec, ...], rows: int) -> States:
    """The states at the start of ``rows`` episodes, by name."""
    return {spec.name: spec.start(rows) for spec in specs}


def parted(observations: Observation, contract: Contract) -> tuple[Observation, States]:
    """A batch that holds the states by their names, as the observation alone and the states.

    Raises:
        ObservationError: a state is missing, or is not finite, or of another shape.
    """
    names = [spec.name for spec in contract.state]
    if not isinstance(observations, Mapping) or not all(name in observations for name in names):
        raise ObservationError(
            "The policy has memory, and its state was not given.",
            got=f"the keys {sorted(map(str, observations))}" if isinstance(observations, Mapping) else "one array",
            expected=f"a dict that also holds {', '.join(names)}",
            hint="predict(observation, state, episode_start) starts with the state of an episode's first step; act() "
            "keeps the state itself, and reset() starts an episode.",
        )
    rest = {key: value for key, value in observations.items() if key not in names}
    states = {spec.name: _checked(observations[spec.name], spec, spec.shape) for spec in contract.state}
    return (rest[""] if rest.keys() == {""} else rest), states


def together(observation: Observation, states: Mapping[str, Array]) -> dict[str, Any]:
    """A batch and its states as one dict; the observation is under ``""`` where it is one array."""
    parts = dict(observation) if isinstance(observation, Mapping) else {"": observation}
    return {**parts, **states}


def check_rows(feeds: Mapping[str, Array]) -> int:
    """The rows of observations and states, which are as many.

    Raises:
        ObservationError: they are not.
    """
    if len({len(array) for array in feeds.values()}) > 1:
        raise ObservationError(
            "Observations and states have different numbers of rows.",
            got=", ".join(f"{name}: {len(array)}" for name, array in feeds.items()),
            expected="one state for each observation",
        )
    return len(next(iter(feeds.values())))


def rows_of(states: Mapping[str, Array], specs: tuple[StateSpec, ...], count: int) -> Array:
    """States by name as generated C keeps them: one row for each observation, one tensor behind the other."""
    parts = [np.asarray(states[spec.name], np.float32).reshape(count, -1) for spec in specs]
    return np.concatenate(parts, axis=1)


def parted_rows(rows: Array, specs: tuple[StateSpec, ...]) -> States:
    """What C left in such rows: the next states, by the names that they have as outputs."""
    found, position = {}, 0
    for spec in specs:
        size = math.prod(spec.shape)
        found[spec.next_name] = rows[:, position : position + size].reshape(len(rows), *spec.shape).copy()
        position += size
    return found


def for_caller(states: Mapping[str, Array], specs: tuple[StateSpec, ...]) -> tuple[Array, ...]:
    """States by name, as ``predict`` returns them."""
    return tuple(np.moveaxis(states[s.name], 0, _axis(s)).copy() for s in specs)


def from_caller(state: Any, specs: tuple[StateSpec, ...], rows: int, starts: Any) -> States:
    """What ``predict`` was given, as states by name with the batch first.

    Args:
        state: a tuple of arrays as :func:`for_caller` makes it, or None for the start of an episode.
        specs: the artifact's.
        rows: of the batch.
        starts: which rows begin an episode, whatever their state says; or None.

    Raises:
        ObservationError: another number of arrays, another shape, or values that are not finite.
    """
    first = initial_states(specs, rows)
    if state is None:
        return first
    given = (state,) if isinstance(state, np.ndarray) and len(specs) == 1 else state
    if not isinstance(given, tuple | list) or len(given) != len(specs):
        raise ObservationError(
            "The state is not what the policy carries.",
            got=f"{len(given)} arrays" if isinstance(given, tuple | list) else type(given).__name__,
            expected=f"a tuple of {len(specs)}: {', '.join(spec.name for spec in specs)}",
            hint="Give what predict() returned for the step before, or None at the start.",
        )
    found: States = {}
    begins = np.zeros(rows, np.bool_) if starts is None else np.asarray(starts).reshape(-1).astype(np.bool_)
    if len(begins) != rows:
        raise ObservationError(
            "episode_start has not one value for each observation.", got=str(len(begins)), expected=str(rows)
        )
    for spec, value in zip(specs, given, strict=True):
        expected = list(spec.shape)
        expected.insert(_axis(spec), rows)
        array = np.moveaxis(_checked(value, spec, tuple(expected), whole=True), _axis(spec), 0)
        found[spec.name] = np.where(begins.reshape(-1, *[1] * len(spec.shape)), first[spec.name], array)
    return found


def _axis(spec: StateSpec) -> int:
    """Where ``predict`` has the batch: behind the layers, where there are layers."""
    return 1 if len(spec.shape) == 2 else 0


def _checked(value: Any, spec: StateSpec, shape: tuple[int, ...], *, whole: bool = False) -> Array:
    try:
        with np.errstate(over="ignore"):
            array: Array = np.ascontiguousarray(value, np.float32)
    except (TypeError, ValueError) as error:
        raise ObservationError(f"The state {spec.name} is no array.", got=str(error)[:120]) from error
    if (array.shape if whole else array.shape[1:]) != shape:
        raise ObservationError(
            f"The state {spec.name} has the wrong shape.",
            got=str(array.shape),
            expected=str(shape if whole else ("batch", *shape)),
        )
    if not np.isfinite(array).all():
        raise ObservationError(
            f"The state {spec.name} is not finite.", got="NaN or infinity", expected="finite numbers"
        )
    return array


def refuse_memory(contract: Contract, what: str, hint: str = "Use ONNX Runtime: --runtime onnxruntime.") -> None:
    """Refuse an artifact with memory where ``what`` would run it without.

    Raises:
        NoNativeFormError: it has memory.
    """
    if contract.state:
        raise NoNativeFormError(
            f"{what} does not carry a policy's memory.",
            got=f"an artifact with the state {', '.join(spec.name for spec in contract.state)}",
            expected="a policy without memory",
            hint=hint,
        )
