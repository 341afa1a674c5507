"""Check pairs: observations with the actions of the author's code, read from a file and compared with a policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from policypress.agents.archive import read_bytes, sha256_of
from policypress.environments.observations import STARTS, RecordedObservations, read_arrays
from policypress.policy.policy import SINGLE_KEY, Policy
from policypress_runtime.contract import Box, DictSpace, Discrete, MultiDiscrete, Space
from policypress_runtime.errors import ObservationError

Numbers = npt.NDArray[np.float64]

MIN_ROWS = 32
# Each component of an action must be seen to act, not only to stand at a bound.
MIN_FREE = 8
# Of a component's range: nearer to a bound it is clipped or saturated, and proves little.
SATURATED = 1e-4
# Of the spread of the scores: nearer than this, two networks count as the same.
APART = 1e-2
# float32 on another machine, or a GPU; a share of the spread of the actions, and relative to them.
TOLERANCE = 1e-4
# Two scores that are nearer, relative to the largest, may change places by rounding.
TIE = 1e-4
_OBSERVATIONS = ("observations", "observation", "obs", "x")
_ACTIONS = ("actions", "action", "y", "scores")


@dataclass(frozen=True)
class Pairs:
    """Observations and actions as they were read; ``scored`` where the actions are scores of every choice.

    A policy with memory meets them in their order; an episode begins with the first, and where ``starts`` says so.

    ``sha256`` is that of the file.
    """

    name: str
    sha256: str
    observations: Mapping[str, npt.NDArray[np.generic]]
    actions: Numbers
    scored: bool
    starts: npt.NDArray[np.bool_] | None = None

    @property
    def rows(self) -> int:
        """Number of pairs."""
        return len(self.actions)


@dataclass(frozen=True)
class Comparison:
    """How far a policy is from the pairs: in tolerances (1 is what is allowed), and the first row that differs.

    ``scores`` are the policy's own, where choices alone could be compared.
    """

    worst: float
    differing: int = 0
    row: int = 0
    got: str = ""
    expected: str = ""
    scores: Numbers | None = None

    @property
    def same(self) -> bool:
        """Whether every pair holds."""
        return self.worst <= 1.0

    @property
    def by_choice(self) -> bool:
        """Whether choices were compared, which other networks may make too, and not numbers."""
        return self.scores is not None


def read_pairs(path: Path, policy: Policy) -> Pairs:
    """Observations and actions of the file at ``path``, fitted to the spaces of ``policy``.

    Raises:
        ObservationError: as :func:`check_pairs`.
    """
    arrays = read_arrays(path)
    name = next((name for name in _ACTIONS if name in arrays), None)
    if name is None:
        raise ObservationError(
            "The pairs file lacks the actions.",
            got=f"{path.name} with {', '.join(sorted(arrays)[:8]) or 'nothing'}",
            expected=f"an array named {_ACTIONS[0]}",
            hint=f"np.savez('{path.name}', observations=..., actions=...)",
        )
    space = policy.observation_space
    recorded = RecordedObservations.of(_observations(arrays, space), space, path.name)
    observations = recorded.batch
    by_key = dict(observations) if isinstance(observations, dict) else {SINGLE_KEY: observations}
    rows = len(next(iter(by_key.values())))
    actions, scored = _fitting(arrays[name], policy, rows, path.name)
    pairs = Pairs(path.name, sha256_of(read_bytes(path)), by_key, actions, scored, recorded.starts)
    _check_enough(pairs, policy)
    return pairs


def _observations(arrays: Mapping[str, npt.NDArray[np.generic]], space: Space) -> dict[str, npt.NDArray[np.generic]]:
    """Under the names and in the layout of ``space``; images may come with the channels at the other end."""
    found: dict[str, npt.NDArray[np.generic]] = {STARTS: arrays[STARTS]} if STARTS in arrays else {}
    if isinstance(space, DictSpace):
        for key, part in space.spaces:
            names = (*(f"{start}.{key}" for start in _OBSERVATIONS), key)
            chosen = next((name for name in names if name in arrays), None)
            if chosen is not None:
                found[key] = _arranged(arrays[chosen], part)
        return found
    name = next((name for name in _OBSERVATIONS if name in arrays), None)
    return found if name is None else {**found, "observations": _arranged(arrays[name], space)}


def _arranged(array: npt.NDArray[np.generic], space: Space) -> npt.NDArray[np.generic]:
    if isinstance(space, Discrete) and array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0]
    if not isinstance(space, Box) or array.ndim != len(space.shape) + 1 or array.shape[1:] == space.shape:
        return array
    for source, target in ((-1, 1), (1, -1)):
        moved = np.moveaxis(array, source, target)
        if len(space.shape) == 3 and moved.shape[1:] == space.shape:
            return moved
    return array


def _widths(space: Space) -> tuple[tuple[int, ...], int]:
    """Sizes of the groups of scores, and the number of choices (or of components) in an action."""
    match space:
        case Box():
            return (), space.size
        case Discrete():
            return (space.n,), 1
        case MultiDiscrete():
            return space.nvec, len(space.nvec)
        case _:
            count = int(getattr(space, "n", 0))
            return (count,), count


def _fitting(array: npt.NDArray[np.generic], policy: Policy, rows: int, label: str) -> tuple[Numbers, bool]:
    space = policy.action_space
    groups, width = _widths(space)
    numeric = np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_
    if not numeric or np.issubdtype(array.dtype, np.complexfloating) or array.ndim == 0 or len(array) != rows:
        raise ObservationError(
            f"The actions in {label} are not numbers for every observation.",
            got=f"{array.dtype} of shape {array.shape}",
            expected=f"{rows} rows of numbers",
        )
    flat = array.reshape(rows, -1).astype(np.float64)
    if not np.isfinite(flat).all():
        raise ObservationError(f"The actions in {label} are not all finite.", got="NaN or infinity", expected="numbers")
    whole = bool((flat == np.round(flat)).all())
    # As many bits as scores: what is not 0 or 1 is a score.
    bits = sum(groups) != width or bool(((flat == 0) | (flat == 1)).all())
    if flat.shape[1] == width and (isinstance(space, Box) or (whole and bits)):
        return flat, False
    if groups and flat.shape[1] == sum(groups):
        return flat, True
    scores = f", or ({rows}, {sum(groups)}) scores" if groups else ""
    raise ObservationError(
        f"The actions in {label} do not fit the policy.",
        got=f"shape {array.shape} of {array.dtype}",
        expected=f"({rows}, {width}) {'components' if isinstance(space, Box) else 'choices'}{scores}",
    )


def _check_enough(pairs: Pairs, policy: Policy) -> None:
    """Actions that stand at a bound, or are always the same, would be those of many networks."""
    rows = np.concatenate([o.reshape(len(o), -1).astype(np.float64) for o in pairs.observations.values()], axis=1)
    _, first = np.unique(rows, axis=0, return_index=True)
    actions = pairs.actions[first]
    space = policy.action_space
    if isinstance(space, Box):
        low, high = (bound.reshape(-1) for bound in space.bounds())
        reach = np.where(np.isfinite(high - low), high - low, 1.0)
        free = (actions > low + SATURATED * reach) & (actions < high - SATURATED * reach)
        proving = len(np.unique(actions[free.any(axis=1)], axis=0))
        least = int(free.sum(axis=0).min())
        got = f"{proving} different actions that are not at a bound; {least} in the component that has fewest"
        enough = proving >= MIN_ROWS and least >= MIN_FREE
    elif pairs.scored:
        proving = len(np.unique(actions, axis=0))
        got, enough = f"{proving} different rows of scores", proving >= MIN_ROWS
    else:
        choices = len(np.unique(actions, axis=0))
        got = f"{choices} different choices for {len(first)} different observations"
        enough = choices > 1 and len(first) >= MIN_ROWS
    if not enough:
        raise ObservationError(
            f"The pairs in {pairs.name} prove too little.",
            got=f"{pairs.rows} pairs: {got}",
            expected=f"at least {MIN_ROWS} observations whose actions differ, each component {MIN_FREE} times off its "
            "bounds",
            hint="Give more, and more varied, observations, for example visited ones; for discrete actions the scores.",
        )


def compare(policy: Policy, pairs: Pairs) -> Comparison:
    """``policy``, evaluated in float64 on observations in float32, with the pairs."""
    exact = policy.clone().double()
    tensors = {key: torch.from_numpy(np.ascontiguousarray(o)) for key, o in pairs.observations.items()}
    with torch.no_grad():
        values = _lived(exact, tensors, pairs) if exact.states else exact.run(tensors.get(SINGLE_KEY, tensors))
    action = values[policy.nodes[-1].name].double().numpy().reshape(pairs.rows, -1)
    if isinstance(policy.action_space, Box):
        low, high = (bound.reshape(-1) for bound in policy.action_space.bounds())
        return _numbers(np.clip(action, low, high), np.clip(pairs.actions, low, high))
    scores = values[policy.scores_node or policy.nodes[-1].name].double().numpy().reshape(pairs.rows, -1)
    if pairs.scored:
        forms = _score_forms(scores, policy.action_space)
        return min((_numbers(form, pairs.actions) for form in forms), key=lambda found: found.worst)
    return _choices(action, scores, pairs, policy)


def _lived(exact: Policy, tensors: Mapping[str, torch.Tensor], pairs: Pairs) -> dict[str, torch.Tensor]:
    """What is compared, of a policy with memory that meets the observations one after the other."""
    wanted = {exact.nodes[-1].name, exact.scores_node or exact.nodes[-1].name}
    found: dict[str, list[torch.Tensor]] = {name: [] for name in wanted}
    first = {name: value.double() for name, value in exact.initial_state(1).items()}
    state = first
    for row in range(pairs.rows):
        state = first if pairs.starts is not None and bool(pairs.starts[row]) else state
        seen = {key: value[row : row + 1] for key, value in tensors.items()}
        values = exact.run(exact.with_state(seen.get(SINGLE_KEY, seen), state))
        state = exact.next_state(values)
        for name in wanted:
            found[name].append(values[name])
    return {name: torch.cat(rows) for name, rows in found.items()}


def _numbers(got: Numbers, expected: Numbers) -> Comparison:
    spread = expected.max(axis=0) - expected.min(axis=0)
    error = np.abs(got - expected) / (TOLERANCE * (0.1 * np.abs(expected) + spread) + 1e-9)
    error[~np.isfinite(error)] = np.inf
    wrong = error.max(axis=1) > 1.0
    row = int(np.argmax(wrong)) if wrong.any() else 0
    column = int(np.argmax(error[row]))
    where = f"component {column} is " if got.shape[1] > 1 else ""
    return Comparison(
        float(error.max()), int(wrong.sum()), row, f"{where}{got[row, column]:.6g}", f"{expected[row, column]:.6g}"
    )


def _score_forms(scores: Numbers, space: Space) -> list[Numbers]:
    """The scores, and what a network may close with: their softmax or its logarithm; for bits the sigmoid."""
    groups, _ = _widths(space)
    if not isinstance(space, Discrete | MultiDiscrete):
        return [scores, 1 / (1 + np.exp(-np.clip(scores, -500, 500)))]
    parts = np.split(scores, np.cumsum(groups)[:-1], axis=1)
    log = np.concatenate([part - _log_sum(part) for part in parts], axis=1)
    return [scores, log, np.exp(log)]


def _log_sum(part: Numbers) -> Numbers:
    top = part.max(axis=1, keepdims=True)
    total: Numbers = top + np.log(np.exp(part - top).sum(axis=1, keepdims=True))
    return total


def _choices(action: Numbers, scores: Numbers, pairs: Pairs, policy: Policy) -> Comparison:
    """A choice that differs is one of rounding where the two scores are all but equal."""
    space = policy.action_space
    wrong = action != pairs.actions
    tie = TIE * (1 + np.abs(scores).max(axis=1, keepdims=True))
    if isinstance(space, Discrete | MultiDiscrete):
        groups, _ = _widths(space)
        start = np.concatenate([[0], np.cumsum(groups)[:-1]])
        offset = int(getattr(policy.layers[policy.nodes[-1].name], "start", 0))
        given = (pairs.actions - offset).astype(np.int64)
        inside = (given >= 0) & (given < np.asarray(groups))
        mine = np.take_along_axis(scores, start + (action - offset).astype(np.int64), axis=1)
        theirs = np.take_along_axis(scores, start + np.where(inside, given, 0), axis=1)
        wrong &= ~inside | (mine - theirs > tie)
    else:
        wrong &= np.abs(scores) > tie
    rows = wrong.any(axis=1)
    row = int(np.argmax(rows)) if rows.any() else 0
    return Comparison(
        np.inf if rows.any() else 0.0,
        int(rows.sum()),
        row,
        f"choice {' '.join(f'{value:g}' for value in action[row])}",
        f"choice {' '.join(f'{value:g}' for value in pairs.actions[row])}",
        scores,
    )


def apart(one: Comparison, other: Comparison) -> bool:
    """Whether two policies that make the same choices are two: their scores differ by more than a hundredth."""
    if one.scores is None or other.scores is None:
        return False
    spread = np.ptp(one.scores, axis=0).max()
    return bool(np.abs(one.scores - other.scores).max() > APART * spread)
