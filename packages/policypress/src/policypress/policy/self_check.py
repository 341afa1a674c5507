"""The check that a translated network is the one that was given: random observations, equal actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import torch

from policypress.agents.bundle import Normaliser
from policypress.policy.policy import SINGLE_KEY, Observation, Policy, State, observation_inputs
from policypress.policy.rounding import rounding_bound
from policypress_runtime.contract import Box, DictSpace, Discrete, MultiBinary, MultiDiscrete, Space
from policypress_runtime.errors import NetworkError

Arrays = dict[str, npt.NDArray[np.generic]]
TOLERANCE = 1e-5
ROWS = 16


def sample_observations(space: Space, rows: int, normaliser: Mapping[str, Normaliser], seed: int = 0) -> Arrays:
    """``rows`` random observations by key, as the policy takes them: around the normaliser's mean, or in bounds."""
    random = np.random.default_rng(seed)
    parts = space.spaces if isinstance(space, DictSpace) else ((SINGLE_KEY, space),)
    dtypes = {key: spec.dtype for key, spec in observation_inputs(space).items()}
    return {key: _sample(part, rows, normaliser.get(key), random).astype(dtypes[key]) for key, part in parts}


def _sample(
    space: Space, rows: int, normaliser: Normaliser | None, random: np.random.Generator
) -> npt.NDArray[np.generic]:
    match space:
        case Discrete():
            return random.integers(space.start, space.start + space.n, rows)
        case MultiDiscrete():
            return random.integers(0, space.nvec, (rows, len(space.nvec)))
        case MultiBinary():
            return random.integers(0, 2, (rows, space.n))
        case Box():
            low, high = (np.clip(bound, -1e6, 1e6) for bound in space.bounds())
            if space.dtype in ("uint8", "int8", "int32", "int64"):
                return random.integers(low.astype(np.int64), high.astype(np.int64) + 1, (rows, *space.shape))
            if normaliser is not None:
                normal = random.normal(size=(rows, *space.shape))
                return normaliser.mean + 2.0 * np.sqrt(normaliser.variance) * normal
            return np.clip(2.0 * random.normal(size=(rows, *space.shape)), low, high)
        case _:
            raise NetworkError("An observation space is not supported.", got=repr(space))


def normalised(observations: Arrays, normaliser: Mapping[str, Normaliser]) -> Arrays:
    """What VecNormalize makes of them, computed in float64 and rounded to float32."""
    result = dict(observations)
    for key, n in normaliser.items():
        scaled = (observations[key].astype(np.float64) - n.mean) / np.sqrt(n.variance + n.epsilon)
        result[key] = np.clip(scaled, -n.clip, n.clip).astype(np.float32)
    return result


def sample_states(policy: Policy, rows: int, seed: int = 0) -> Arrays:
    """``rows`` random states of a policy with memory, by name, as small as those of recurrent layers are."""
    random = np.random.default_rng([seed, rows])
    return {
        state.spec.name: np.tanh(random.normal(size=(rows, *state.spec.shape))).astype(np.float32)
        for state in policy.states
    }


def check_same(
    policy: Policy,
    network: Callable[[Arrays], npt.NDArray[np.generic]],
    normaliser: Mapping[str, Normaliser],
    after: Callable[[Arrays], Mapping[str, npt.NDArray[np.generic]]] | None = None,
) -> None:
    """Compare ``policy`` with the network it was translated from.

    Args:
        policy: the translation.
        network: the original, from (normalised) observations to what it returns.
        normaliser: what the policy normalises before the network.
        after: of a network with memory, the next states by the names of the states, batch first; what it is given
            holds the states beside the observation.

    Raises:
        NetworkError: they differ.
    """
    for rows, seed in ((ROWS, 0), (1, 1)):
        observations = sample_observations(policy.observation_space, rows, normaliser, seed)
        observations |= sample_states(policy, rows, seed)
        tensors = {key: torch.from_numpy(values) for key, values in observations.items()}
        # Reference evaluators compute branches that overflow and are not taken.
        with np.errstate(over="ignore", invalid="ignore"):
            given = network(normalised(observations, normaliser))
            following = {} if after is None else after(normalised(observations, normaliser))
        parts = tensors if tensors.keys() != {SINGLE_KEY} else tensors[SINGLE_KEY]
        _compare(policy, parts, given)
        for state in policy.states:
            _compare_state(policy, parts, state, following[state.spec.name])


def _compare_state(policy: Policy, observation: Observation, state: State, given: npt.NDArray[np.generic]) -> None:
    """The next value of a state with what the network gave in float32."""
    with torch.no_grad():
        want = policy.clone().double().run(observation)[state.node].numpy()
    allowed = TOLERANCE * (1 + np.abs(want)) + rounding_bound(policy, observation, state.node).numpy()
    if given.shape != want.shape or not bool((np.abs(given.astype(np.float64) - want) <= allowed).all()):
        raise NetworkError(
            "The translated network does not remember what the original remembers.",
            got=f"the next value of the state {state.spec.name}, of shape {want.shape}",
            expected=f"what the network gives, of shape {given.shape}",
            hint="The network may depend on the batch, on random numbers, or on a precision other than float32.",
        )


def _compare(policy: Policy, observation: Observation, given: npt.NDArray[np.generic]) -> None:
    """The exact value of ``policy`` with what the network gave in float32."""
    exact = policy.clone().double()
    with torch.no_grad():
        values = exact.run(observation)
    action, scores = values[policy.nodes[-1].name], values[policy.scores_node or policy.nodes[-1].name]
    rounding = rounding_bound(policy, observation).numpy().reshape(len(action), -1)
    space, rows = policy.action_space, len(action)
    if given.size % rows or not np.all(np.isfinite(given)):
        raise NetworkError(
            "The network does not return one finite action for each observation.",
            got=f"shape {given.shape} for {rows} observations",
            expected=f"shape ({rows}, ...) of finite numbers",
        )
    got = action.numpy().reshape(rows, -1).astype(np.float64)
    given = given.reshape(rows, -1)
    if isinstance(space, Box):
        low, high = (bound.reshape(-1) for bound in space.bounds())
        expected: npt.NDArray[np.float64] = np.clip(given.astype(np.float64), low, high)
        wrong = np.abs(got - expected) > TOLERANCE * (1 + np.abs(expected)) + rounding
    else:
        chosen = given if np.issubdtype(given.dtype, np.integer) else _choose(space, given)
        expected = chosen.astype(np.float64).reshape(got.shape)
        decided = scores.numpy().reshape(rows, -1).astype(np.float64)
        sure = _leads(space, decided) > 2 * (TOLERANCE * (1 + np.abs(decided)) + rounding).max(1, keepdims=True)
        wrong = (got != expected) & sure
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        raise NetworkError(
            "The translated network does not compute what the original computes.",
            got=f"action component {column}: {got[row, column]} ({int(wrong.sum())} of {wrong.size} differ)",
            expected=f"{expected[row, column]}",
            hint="The network may depend on the batch, on random numbers, or on a precision other than float32.",
        )


def _groups(space: Space, scores: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
    if isinstance(space, MultiDiscrete):
        return np.split(scores, np.cumsum(space.nvec)[:-1], axis=1)
    return [scores]


def _choose(space: Space, given: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    scores = given.astype(np.float64)
    if isinstance(space, MultiBinary):
        return (scores > 0).astype(np.int8)
    best = np.stack([group.argmax(axis=1) for group in _groups(space, scores)], axis=1)
    return best + (space.start if isinstance(space, Discrete) else 0)


def _leads(space: Space, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How far each choice is ahead of another one."""
    if isinstance(space, MultiBinary):
        return np.abs(scores)
    return np.stack([_lead(group) for group in _groups(space, scores)], axis=1)


def _lead(group: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The best score less the second best, for each row; infinite where there is no other."""
    ordered = np.sort(group, axis=1)
    return ordered[:, -1] - ordered[:, -2] if group.shape[1] > 1 else np.full(len(group), np.inf)
