"""Drift: how far a file with memory and its policy part over whole episodes, each with its own state.

The definition is in docs/design.md, "Parity", (g). One step is proven by :mod:`policypress.export.parity`; an error of
one step is met again in the state of the next. What errors of that size make of an episode is found by letting the
policy itself err so: by as much as one step may, in every component of the state and at every step, in eight ways.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from policypress.export.parity import (
    BatchRuntime,
    Observations,
    checked_output,
    clear_decisions,
    decided_by_of,
    to_tensors,
)
from policypress.policy.policy import ACTION, SCORES, Observation, Policy
from policypress_runtime.contract import Contract
from policypress_runtime.errors import ParityError
from policypress_runtime.runtimes.memory import States, initial_states, together
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime

Array = npt.NDArray[Any]
# Ways to err: always up, always down, always outwards, always inwards, and at random; how much farther another way
# may lead than the farthest of them.
WAYS = 8
MARGIN = 2.0
# Steps of an episode at which the bounds of one step are computed.
SAMPLE = 64


@dataclass(frozen=True)
class DriftReport:
    """What was found over whole episodes.

    Args:
        steps: in all episodes.
        max_error: the largest difference of an action or score.
        of_allowed: the largest difference as a share of what is allowed where it stands.
    """

    steps: int
    max_error: float
    of_allowed: float


def check_drift(
    policy: Policy | None, model: bytes, episodes: Sequence[Observations], runtime: BatchRuntime | None = None
) -> DriftReport:
    """Prove that a file with memory follows its policy over whole episodes.

    Args:
        policy: what the file must do; None where the file is its own statement, and another runtime is compared with it
            under ONNX Runtime.
        model: the serialised ONNX artifact.
        episodes: the observations of each, in order, without states.
        runtime: what plays; by default the file under ONNX Runtime.

    Raises:
        ParityError: it drifts farther than errors of one step make the policy drift.
    """
    own = OnnxRuntime(model)
    contract, playing = own.contract, own if runtime is None else runtime
    reports = []
    for episode in episodes:
        got = played(playing, contract, episode)
        if policy is not None:
            reports.append(_against_policy(policy, contract, got, episode))
        elif playing is not own:
            reports.append(_against_file(contract, got, played(own, contract, episode)))
    return DriftReport(
        sum(report.steps for report in reports),
        max((report.max_error for report in reports), default=0.0),
        max((report.of_allowed for report in reports), default=0.0),
    )


def played(runtime: BatchRuntime, contract: Contract, episode: Observations) -> dict[str, Array]:
    """The outputs of every step of an episode, and the states that each step was taken in, ``(steps, ...)``."""
    states = initial_states(contract.state, 1)
    found: dict[str, list[Array]] = {}
    for step in range(_steps(episode)):
        outputs = {**runtime.run_batch(together(_row(episode, step), states)), **states}
        for name, value in outputs.items():
            found.setdefault(name, []).append(np.asarray(value))
        states = {spec.name: np.asarray(outputs[spec.next_name], np.float32) for spec in contract.state}
    return {name: np.concatenate(values) for name, values in found.items()}


def _against_policy(policy: Policy, contract: Contract, got: Mapping[str, Array], episode: Observations) -> DriftReport:
    """The bounds of one step, at the states that the file itself was in; then the policy along the episode."""
    decided_by = decided_by_of(contract)
    here: States = {spec.name: got[spec.name] for spec in contract.state}
    met = together(episode, here)
    rows = np.unique(np.linspace(0, _steps(episode) - 1, SAMPLE).astype(np.int64))
    some = to_tensors({key: value[rows] for key, value in met.items()})
    sampled = {name: value[rows] for name, value in got.items()}
    off = {
        spec.name: torch.from_numpy(checked_output(policy, sampled, spec.next_name, some)[1].max(0))
        for spec in contract.state
    }
    own = checked_output(policy, got, decided_by, to_tensors(met))[1]
    want, apart = followed(policy, to_tensors(episode), off)
    error, allowed = np.abs(got[decided_by] - want[0]), own + MARGIN * apart
    if not bool((error <= allowed).all()):
        raise _drifted(error, "what errors of one step make of the policy's episode")
    if decided_by == SCORES:
        clear = clear_decisions(contract.action_space, want[0], allowed)
        if bool(((got[ACTION] != want[1]) & clear).any()):
            raise ParityError(
                "The file chooses other actions than the policy in the course of an episode.",
                got=f"{int(((got[ACTION] != want[1]) & clear).sum())} of {int(clear.sum())} clear decisions differ",
                expected="identical wherever the gap of the best two scores exceeds twice the bound",
            )
    share = float((error / np.maximum(allowed, np.finfo(np.float64).tiny)).max(initial=0.0))
    return DriftReport(len(error), float(error.max(initial=0.0)), share)


def followed(
    policy: Policy, episode: Observation, off: Mapping[str, torch.Tensor]
) -> tuple[tuple[Array, Array], Array]:
    """The policy in float64 along an episode: what decides and the actions, and how far the ways to err lead."""
    exact = policy.clone().double()
    generator = torch.Generator().manual_seed(0)
    output, last = policy.scores_node or policy.nodes[-1].name, policy.nodes[-1].name
    rows = WAYS + 1
    state = {name: value.double() for name, value in exact.initial_state(rows).items()}
    decided, actions, apart = [], [], []
    with torch.no_grad():
        for step in range(_steps(episode)):
            values = exact.run(exact.with_state(_repeated(episode, step, rows), state))
            decided.append(values[output][:1].numpy())
            actions.append(values[last][:1].numpy())
            apart.append((values[output] - values[output][:1]).abs().amax(0, keepdim=True).numpy())
            state = {name: _erring(value, off[name], generator) for name, value in exact.next_state(values).items()}
    return (np.concatenate(decided), np.concatenate(actions)), np.concatenate(apart)


def _erring(value: torch.Tensor, off: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The first row as it is; each other moved by ``off``, its own way."""
    ways = torch.randint(0, 2, value.shape, generator=generator).double() * 2 - 1
    ways[0], ways[1], ways[2] = 0.0, 1.0, -1.0
    ways[3], ways[4] = torch.sign(value[3]), -torch.sign(value[4])
    return value + ways * off


def _against_file(contract: Contract, got: Mapping[str, Array], want: Mapping[str, Array]) -> DriftReport:
    """Two evaluations of one file whose meaning nothing else states: most of an episode is the same."""
    name = decided_by_of(contract)
    error = np.abs(got[name] - want[name])
    span = np.maximum(want[name].max(0) - want[name].min(0), 1e-6)
    if float((error <= 0.1 * span).mean()) < 0.75:
        raise _drifted(error, "75 % of components within a tenth of their range")
    return DriftReport(len(error), float(error.max(initial=0.0)), float((error / span).mean()))


def _drifted(error: Array, expected: str) -> ParityError:
    return ParityError(
        "In the course of an episode the file parts from the policy; nothing was written.",
        got=f"largest difference {float(error.max(initial=0.0)):.3g}",
        expected=expected,
        hint="This is a bug in policypress or a dependency: please report it with the agent and the recipe.",
    )


def _steps(episode: Observations | Observation) -> int:
    parts: Mapping[str, Any] = episode if isinstance(episode, Mapping) else {"": episode}
    return len(next(iter(parts.values())))


def _row(episode: Observations, step: int) -> Observations:
    if isinstance(episode, Mapping):
        return {key: value[step : step + 1] for key, value in episode.items()}
    return episode[step : step + 1]


def _repeated(episode: Observation, step: int, rows: int) -> Observation:
    def part(value: torch.Tensor) -> torch.Tensor:
        return value[step : step + 1].expand(rows, *value.shape[1:])

    return part(episode) if isinstance(episode, torch.Tensor) else {key: part(v) for key, v in episode.items()}
