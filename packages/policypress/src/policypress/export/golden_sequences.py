"""Golden sequences for the self-test of generated C with a memory: what ONNX Runtime does, step after step.

A sequence begins with a reset and ends, at the latest, where two right evaluations might part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from policypress.export.drift import followed, played
from policypress.export.goldens import MOST_NUMBERS, count_of, part_of, taken, tolerance_of, untied_rows
from policypress.export.parity import BatchRuntime, Observations, clear_decisions, decided_by_of, to_tensors
from policypress.policy.policy import ACTION, SCORES, Policy
from policypress_runtime.codegen.program import Program
from policypress_runtime.codegen.rendering.selftest import Goldens
from policypress_runtime.runtimes.memory import together
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime

Array = npt.NDArray[Any]
# Steps of one sequence and of all, at most, and the places of an episode at which one may begin.
LONGEST, IN_ALL, PLACES = 12, 24, 8


def golden_sequences(
    program: Program,
    policy: Policy | None,
    model: bytes,
    episodes: Sequence[Observations],
    compiled: BatchRuntime | None,
) -> Goldens | None:
    """Parts of episodes with ONNX Runtime's outputs, each from the state at the start of an episode.

    Args:
        program: what the C is written from.
        policy: what the file was proven against, if anything.
        model: the file.
        episodes: observations of whole episodes, in order, without states.
        compiled: the C; what it computes tells where evaluations part, too.

    Returns:
        None where not a single step qualifies.
    """
    runtime = OnnxRuntime(model)
    size = sum(part.storage.size for part in program.inputs)
    room = max(1, min(IN_ALL, MOST_NUMBERS // size))
    found: list[Goldens] = []
    for part in _parts(episodes):
        sequence = _sequence(program, policy, runtime, part, compiled, min(room, LONGEST))
        if sequence is not None:
            found.append(sequence)
            room -= sequence.count
        if room <= 0:
            break
    return _joined(found) if found else None


def _parts(episodes: Sequence[Observations]) -> Iterator[Observations]:
    """Pieces of all episodes, the beginnings first."""
    for place in range(PLACES):
        for episode in episodes:
            count = count_of(episode)
            first = place * count // PLACES
            if place == 0 or first >= place * LONGEST:
                yield taken(episode, np.arange(first, min(first + LONGEST, count)))


def _sequence(
    program: Program,
    policy: Policy | None,
    runtime: OnnxRuntime,
    part: Observations,
    compiled: BatchRuntime | None,
    longest: int,
) -> Goldens | None:
    contract, decided_by = runtime.contract, decided_by_of(runtime.contract)
    outputs = played(runtime, contract, part)
    want = np.asarray(outputs[decided_by])
    met = together(part, {spec.name: outputs[spec.name] for spec in contract.state})
    tolerance = tolerance_of(policy, want, met)
    right = np.ones(len(want), np.bool_)
    if policy is not None:
        right = untied_rows(policy, met) & _near(_exact(policy, part), want, tolerance)
    if compiled is not None:
        right &= _near(np.asarray(played(compiled, contract, part)[decided_by]), want, tolerance)
    if decided_by == SCORES:
        right &= clear_decisions(contract.action_space, want, tolerance).reshape(len(want), -1).all(1)
    count = min(longest, int(np.argmin(np.append(right, False))))
    if count == 0:
        return None
    return Goldens(
        inputs=tuple(part_of(given.spec.name, given.spec.dtype, part)[:count] for given in program.inputs),
        actions=np.asarray(outputs[ACTION])[:count],
        scores=want[:count] if decided_by == SCORES else None,
        tolerance=tolerance[:count],
        starts=np.arange(count) == 0,
    )


def _exact(policy: Policy, part: Observations) -> Array:
    """What decides, by the policy in float64 with a state of its own."""
    nothing = {state.spec.name: torch.zeros(()) for state in policy.states}
    return followed(policy, to_tensors(part), nothing)[0][0]


def _near(got: Array, want: Array, tolerance: Array) -> npt.NDArray[np.bool_]:
    near: npt.NDArray[np.bool_] = (np.abs(got - want) <= tolerance / 2).reshape(len(want), -1).all(1)
    return near


def _joined(found: Sequence[Goldens]) -> Goldens:
    scores = [part.scores for part in found if part.scores is not None]
    starts = [part.starts for part in found if part.starts is not None]
    return Goldens(
        inputs=tuple(np.concatenate(parts) for parts in zip(*(one.inputs for one in found), strict=True)),
        actions=np.concatenate([one.actions for one in found]),
        scores=np.concatenate(scores) if scores else None,
        tolerance=np.concatenate([one.tolerance for one in found]),
        starts=np.concatenate(starts).astype(np.uint8),
    )
