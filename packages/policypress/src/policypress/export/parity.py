"""Proof that a file does what the policy does. Without it nothing is written.

The definition is in docs/design.md, "Parity"; the numbers here are that definition's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import numpy.typing as npt
import onnx
import torch

from policypress.export.tolerance import step_bound, tie_slack, tied_rows
from policypress.policy.importers.onnx.reference import evaluator
from policypress.policy.policy import ACTION, SCORES, Observation, Policy
from policypress.policy.rounding import reaches, rounding_bound
from policypress_runtime.contract import Box, Contract, Discrete, MultiBinary, MultiDiscrete, Space
from policypress_runtime.errors import ParityError
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime

Array = npt.NDArray[Any]
Observations = Array | Mapping[str, Array]

FLOAT_TOLERANCE = 1e-5
QUANTIZED_TOLERANCE_OF_RANGE = 1e-4
QUANTIZED_SHARE = 0.999
# The reference evaluates QDQ in float32, where rounding ties are frequent; a wrong file agrees on next to nothing.
REFERENCE_SHARE = 0.75
REFERENCE_WORST_OF_RANGE = 0.1
# The reference evaluator is plain numpy: enough rows to meet every operator, few enough for a CNN.
REFERENCE_ROWS = 64


@dataclass(frozen=True)
class ParityReport:
    """How well a file matches: the largest error of a component, and what it was compared on.

    ``share_within``: share of components within tolerance, among ``untied`` observations for quantized policies.
    ``of_allowed``: the largest error as a share of what is allowed where it stands; 1 would be refused.
    """

    observations: int
    untied: int
    max_error: float
    share_within: float
    of_allowed: float


def _report(error: Array, allowed: Array) -> ParityReport:
    return ParityReport(len(error), len(error), float(error.max(initial=0.0)), 1.0, _of_allowed(error, allowed))


def _of_allowed(error: Array, allowed: Array, share: float = 1.0) -> float:
    """The largest error as a share of what is allowed, among the ``share`` of components that have the smallest."""
    parts = np.sort((error / np.maximum(allowed, np.finfo(np.float64).tiny)).reshape(-1))
    return float(parts[max(math.ceil(share * len(parts)), 1) - 1]) if len(parts) else 0.0


def _worst(reports: Sequence[ParityReport]) -> ParityReport:
    """Of several outputs of one file: the worst of each."""
    return ParityReport(
        reports[0].observations,
        reports[0].untied,
        max(report.max_error for report in reports),
        min(report.share_within for report in reports),
        max(report.of_allowed for report in reports),
    )


@runtime_checkable
class BatchRuntime(Protocol):
    """Whatever computes a policy for a batch: every output of its contract by name."""

    contract: Contract

    def run_batch(self, observations: Observations) -> Mapping[str, Array]:
        """``action``, ``scores`` where actions are discrete, and the next states of a memory."""
        ...


def check_parity(policy: Policy | None, model: bytes, observations: Observations) -> ParityReport:
    """Prove that ``model`` under ONNX Runtime equals its reference evaluation and, if given, the policy.

    Args:
        policy: what the file must do (fp32 or fake-quantized); None where ONNX Runtime's own quantizers
            made the file, so that only the file's two evaluations are compared.
        model: the serialised ONNX artifact.
        observations: visited and extreme observations, batch first; rounded to float32 first. With a memory, they
            hold the states that they were met in, and the next states are compared too.

    Raises:
        ParityError: out of tolerance.
    """
    runtime = OnnxRuntime(model)
    graph = onnx.load_from_string(model)
    sample = _spread_rows(observations, REFERENCE_ROWS)
    sampled = runtime.run_batch(sample)
    quantized = any(node.op_type in QUANTIZED_OPERATORS for node in graph.graph.node)
    reports = []
    for output in compared(runtime.contract):
        reference, got = _reference(graph, runtime, sample, output), sampled[output]
        node = None if policy is None else _node_of(policy, output)
        if quantized:
            span = value_range(runtime.contract.action_space, got, output)
            reports.append(_check_reference(got, reference, span, policy, sample, node))
        else:
            rounding = (
                np.zeros_like(got) if policy is None else rounding_bound(policy, to_tensors(sample), node).numpy()
            )
            # Both are in float32, and either may be off by what rounding does.
            reports.append(_check_float(got, reference, 2 * rounding, "its reference evaluation"))
    if policy is None:
        return _worst(reports)
    return _check_policy(policy, runtime.run_batch(observations), runtime.contract, to_tensors(observations))


def compared(contract: Contract) -> tuple[str, ...]:
    """The outputs that are compared: what decides, and the next states."""
    return (decided_by_of(contract), *(spec.next_name for spec in contract.state))


def _node_of(policy: Policy, output: str) -> str:
    """The node that gives an output of the file."""
    carried = {state.spec.next_name: state.node for state in policy.states}
    return carried.get(output) or policy.scores_node or policy.nodes[-1].name


def decided_by_of(contract: Contract) -> str:
    """The output that is compared: scores where actions are chosen among them, else the action."""
    return SCORES if any(spec.name == SCORES for spec in contract.outputs) else ACTION


def check_runtime_parity(
    policy: Policy | None, model: bytes, runtime: BatchRuntime, observations: Observations
) -> ParityReport:
    """Prove that another runtime (compiled C) does what the policy does, by the rules for the file itself.

    Args:
        policy: as for :func:`check_parity`; without it the runtime is compared with the file under ONNX Runtime.
        model: the file that the runtime was made from.
        runtime: what is to be proven.
        observations: visited and extreme observations, batch first.

    Raises:
        ParityError: out of tolerance.
    """
    return check_outputs(policy, model, runtime.contract, runtime.run_batch(observations), observations)


def check_outputs(
    policy: Policy | None,
    model: bytes,
    contract: Contract,
    outputs: Mapping[str, Array],
    observations: Observations,
) -> ParityReport:
    """As :func:`check_runtime_parity`, for outputs that have been computed from ``observations``.

    Raises:
        ParityError: out of tolerance.
    """
    if policy is not None:
        return _check_policy(policy, outputs, contract, to_tensors(observations))
    wanted, reports = OnnxRuntime(model).run_batch(observations), []
    for name in compared(contract):
        span = value_range(contract.action_space, wanted[name], name)
        reports.append(_check_reference(outputs[name], wanted[name], span, None, observations))
    return _worst(reports)


QUANTIZED_OPERATORS = frozenset({"QuantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "Round"})


def _check_policy(
    policy: Policy, outputs: Mapping[str, Array], contract: Contract, observations: Observation
) -> ParityReport:
    """The file's outputs against the policy's, which are evaluated in float64."""
    return _worst([checked_output(policy, outputs, name, observations)[0] for name in compared(contract)])


def checked_output(
    policy: Policy, outputs: Mapping[str, Array], decided_by: str, observations: Observation
) -> tuple[ParityReport, Array]:
    """One output of the file against the policy's, and how far it may be off, as the output.

    Raises:
        ParityError: it is farther off.
    """
    evaluated = policy.clone().double()
    with torch.no_grad():
        values = evaluated.run(observations)
    node = _node_of(policy, decided_by)
    want, got = values[node].numpy(), outputs[decided_by]
    rounding = FLOAT_TOLERANCE * (1 + np.abs(want)) + rounding_bound(policy, observations, node).numpy()
    bound = rounding
    clear = np.ones(len(got), dtype=np.bool_)
    if policy.quantized:
        bound = rounding + step_bound(evaluated, values, node)
        clear = untied(evaluated, observations)
        span = value_range(policy.action_space, got, decided_by)
        limit = np.maximum(near(span), rounding[clear])
        share = _check_share(got[clear], want[clear], limit)
        of_allowed = _of_allowed(np.abs(got - want)[clear], limit, QUANTIZED_SHARE)
    else:
        share, of_allowed = 1.0, 0.0
    error = np.abs(got - want)
    if policy.quantized:
        _widen(bound, error, evaluated, observations, node)
    if not bool((error <= bound).all()):
        kind = "the bound of one quantization step" if policy.quantized else FLOAT_RULE
        raise _failed("the policy", error, kind)
    if decided_by == SCORES:
        _check_decisions(policy.action_space, want, bound, outputs[ACTION], values[policy.nodes[-1].name].numpy())
    of_allowed = max(of_allowed, _of_allowed(error, bound))
    return ParityReport(len(got), int(clear.sum()), float(error.max(initial=0.0)), share, of_allowed), bound


FLOAT_RULE = "|Δ| ≤ 1e-5 · (1 + |a|) + what float32 rounding allows"


def _check_float(got: Array, want: Array, rounding: Array, against: str) -> ParityReport:
    error, allowed = np.abs(got - want), FLOAT_TOLERANCE * (1 + np.abs(want)) + rounding
    if not bool((error <= allowed).all()):
        raise _failed(against, error, FLOAT_RULE)
    return _report(error, allowed)


def near(span: Array) -> Array:
    """How far a quantized component may be off where nothing is tied."""
    return QUANTIZED_TOLERANCE_OF_RANGE * span


def _check_share(got: Array, want: Array, limit: Array) -> float:
    """Share of components within ``limit`` among observations without a rounding tie (1.0 where there is none)."""
    error = np.abs(got - want)
    share = float((error <= limit).mean()) if error.size else 1.0
    if share < QUANTIZED_SHARE:
        raise _failed(
            "the policy", error, f"99.9 % of components within 1e-4 of the action range; {100 * share:.2f} % are"
        )
    return share


def _widen(bound: Array, error: Array, policy: Policy, observations: Observation, output: str | None) -> None:
    """Add to ``bound`` what ties may do, in the rows that need it; there is no tie in most."""
    rows = np.flatnonzero(~(error <= bound).reshape(len(error), -1).all(1))
    if len(rows):
        bound[rows] += tie_slack(policy, _tensor_rows(observations, rows), output)


def untied(policy: Policy, observations: Observation) -> npt.NDArray[np.bool_]:
    """Observations without a rounding tie, by a policy in float64."""
    with torch.no_grad():
        return ~tied_rows(policy, policy.run(observations), reaches(policy, observations))


def _tensor_rows(observations: Observation, rows: Array) -> Observation:
    index = torch.from_numpy(rows)
    if isinstance(observations, torch.Tensor):
        return observations[index]
    return {key: value[index] for key, value in observations.items()}


def _check_reference(
    got: Array, want: Array, span: Array, policy: Policy | None, observations: Observations, node: str | None = None
) -> ParityReport:
    error = np.abs(got - want)
    bound = np.broadcast_to(REFERENCE_WORST_OF_RANGE * span, error.shape).copy()
    judged = np.ones(len(error), np.bool_)
    if policy is not None and policy.quantized:
        evaluated, tensors = policy.clone().double(), to_tensors(observations)
        _widen(bound, error, evaluated, tensors, node)
        judged = untied(evaluated, tensors)
    # Scores that hardly vary have no range to speak of; float32 sets the limit then.
    near_enough = (error <= np.maximum(near(span), FLOAT_TOLERANCE * (1 + np.abs(want))))[judged]
    share = float(near_enough.mean()) if near_enough.size else 1.0
    if share < REFERENCE_SHARE or not bool((error <= bound).all()):
        raise _failed(
            "its reference evaluation",
            error,
            f"75 % of components within 1e-4 of the action range ({100 * share:.1f} % are), all within a tenth",
        )
    return _report(error, bound)


def _check_decisions(space: Space, scores: Array, bound: Array, got: Array, want: Array) -> None:
    clear = clear_decisions(space, scores, bound)
    differ = (got != want) & clear
    if bool(differ.any()):
        raise ParityError(
            "The file chooses other actions than the policy.",
            got=f"{int(differ.sum())} of {int(clear.sum())} clear decisions differ",
            expected="identical wherever the gap of the best two scores exceeds twice the bound",
        )


def clear_decisions(space: Space, scores: Array, bound: Array) -> npt.NDArray[np.bool_]:
    """Which decisions the scores leave no doubt about, though each may be off by ``bound``; shaped as the action."""
    if isinstance(space, MultiBinary):
        return np.abs(scores) > 2 * bound
    counts = space.nvec if isinstance(space, MultiDiscrete) else (scores.shape[1],)
    clear: list[npt.NDArray[np.bool_]] = []
    position = 0
    for count in counts:
        part, limit = scores[:, position : position + count], bound[:, position : position + count].max(1)
        position += count
        best = np.sort(part, axis=1)
        gap = best[:, -1] - best[:, -2] if count > 1 else np.full(len(part), np.inf)
        clear.append(gap > 2 * limit)
    return clear[0] if isinstance(space, Discrete) else np.stack(clear, axis=1)


def value_range(space: Space, values: Array, decided_by: str) -> Array:
    """Range that tolerances refer to: the action bounds, or what was seen where they are infinite, scores or states."""
    seen = np.maximum(values.max(0) - values.min(0), 1e-6)
    if decided_by != ACTION or not isinstance(space, Box):
        return np.full_like(seen, seen.max())
    low, high = space.bounds()
    span = high - low
    return np.where(np.isfinite(span), span, seen)


def _reference(graph: onnx.ModelProto, runtime: OnnxRuntime, observations: Observations, output: str) -> Array:
    """The file's value by ONNX's own reference; row by row where the batch decides the scales."""
    reference = evaluator(graph)
    feeds: dict[str, Array] = {}
    for spec in runtime.contract.inputs:
        part = observations[spec.name.partition(".")[2]] if isinstance(observations, Mapping) else observations
        feeds[spec.name] = np.asarray(part, dtype=spec.dtype)
    if isinstance(observations, Mapping):
        feeds |= {s.name: np.asarray(observations[s.name], np.float32) for s in runtime.contract.state}
    rows = [feeds]
    if not runtime.contract.batch_independent:
        rows = [{name: part[i : i + 1] for name, part in feeds.items()} for i in range(_rows(observations))]
    # The reference computes both branches of an ELU; the one that overflows is not taken.
    with np.errstate(over="ignore", invalid="ignore"):
        return np.concatenate([np.asarray(cast(list[Array], reference.run([output], row))[0]) for row in rows])


def to_tensors(observations: Observations) -> torch.Tensor | dict[str, torch.Tensor]:
    """Torch tensors that share memory with ``observations`` where they can."""
    if isinstance(observations, Mapping):
        return {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in observations.items()}
    return torch.from_numpy(np.ascontiguousarray(observations))


def _rows(observations: Observations) -> int:
    first = next(iter(observations.values())) if isinstance(observations, Mapping) else observations
    return len(first)


def _spread_rows(observations: Observations, count: int) -> Observations:
    """``count`` rows spread over all of them, first and last included."""
    if _rows(observations) <= count:
        return observations
    chosen = np.linspace(0, _rows(observations) - 1, count).astype(np.int64)
    if isinstance(observations, Mapping):
        return {key: value[chosen] for key, value in observations.items()}
    return observations[chosen]


def _failed(against: str, error: Array, expected: str) -> ParityError:
    return ParityError(
        f"The file does not compute what {against} computes; nothing was written.",
        got="NaN" if bool(np.isnan(error).any()) else f"largest difference {float(error.max(initial=0.0)):.3g}",
        expected=expected,
        hint="This is a bug in policypress or a dependency: please report it with the agent and the recipe.",
    )
