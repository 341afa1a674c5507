"""Proof that a file does what the policy does. Without it nothing is written.

The definition is in docs/design.md, "Parity"; the numbers here are that definition's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx.reference import ReferenceEvaluator

from policypress.contract import Box, Discrete, MultiBinary, MultiDiscrete, Space
from policypress.errors import ParityError
from policypress.policy.layers import Weighted
from policypress.policy.policy import ACTION, SCORES, Policy
from policypress.policy.quantization import FLOAT
from policypress.runtime.onnx_runtime import OnnxRuntime

Array = npt.NDArray[Any]
Observations = Array | Mapping[str, Array]

FLOAT_TOLERANCE = 1e-5
QUANTIZED_TOLERANCE_OF_RANGE = 1e-4
QUANTIZED_SHARE = 0.999
# Four random sign patterns of one unit in the last place: a cheap lower estimate of what rounding may do.
ROUNDING_DRAWS = 4
ROUNDING_STEP = 2.0**-23
# The reference evaluator is plain numpy: enough rows to meet every operator, few enough for a CNN.
REFERENCE_ROWS = 64


@dataclass(frozen=True)
class ParityReport:
    """How well a file matches: largest error of an action component, and the share within tolerance."""

    observations: int
    max_error: float
    share_within: float


def check_parity(policy: Policy | None, model: bytes, observations: Observations) -> ParityReport:
    """Prove that ``model`` under ONNX Runtime equals its reference evaluation and, if given, the policy.

    Args:
        policy: what the file must do (fp32 or fake-quantized); None where ONNX Runtime's own quantizers
            made the file, so that only the file's two evaluations are compared.
        model: the serialised ONNX artifact.
        observations: visited and extreme observations, batch first.

    Raises:
        ParityError: out of tolerance.
    """
    runtime = OnnxRuntime(model)
    rows = _rows(observations)
    outputs = runtime.run_batch(observations)
    decided_by = SCORES if SCORES in outputs else ACTION
    quantized = any(node.op_type in QUANTIZED_OPERATORS for node in onnx.load_from_string(model).graph.node)
    sample = _spread_rows(observations, REFERENCE_ROWS)
    sampled = runtime.run_batch(sample)[decided_by]
    reference = _reference(model, runtime, sample)
    expected_range = _value_range(runtime.contract.action_space, outputs[decided_by], decided_by)
    share = 1.0
    if quantized:
        share = _check_share(sampled, reference, expected_range, "its reference evaluation")
    else:
        slack = np.zeros_like(sampled) if policy is None else rounding_slack(policy, sample)
        _check_float(sampled, reference, slack, "its reference evaluation")
    if policy is None:
        return ParityReport(rows, float(np.abs(sampled - reference).max()), share)
    return _against_policy(policy, outputs, observations, expected_range)


QUANTIZED_OPERATORS = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger"})


def _against_policy(
    policy: Policy, outputs: Mapping[str, Array], observations: Observations, expected_range: Array
) -> ParityReport:
    with torch.no_grad():
        values = policy.run(to_tensors(observations))
    decided_by = SCORES if SCORES in outputs else ACTION
    want = values[policy.scores_node or policy.nodes[-1].name].numpy()
    got = outputs[decided_by]
    error = np.abs(got - want)
    slack = rounding_slack(policy, observations)
    tolerance = FLOAT_TOLERANCE * (1 + np.abs(want)) + slack
    if policy.quantized:
        bound = step_bound(policy, values) + tolerance
        share = _check_share(got, want, expected_range, "the fake-quantized policy")
        if bool((error > bound).any()):
            raise _failed("the fake-quantized policy", error, "the bound of one quantization step")
    else:
        _check_float(got, want, slack, "the policy")
        bound, share = tolerance, 1.0
    if decided_by == SCORES:
        _check_decisions(policy.action_space, want, bound, outputs[ACTION], values[policy.nodes[-1].name].numpy())
    return ParityReport(_rows(observations), float(error.max(initial=0.0)), share)


def step_bound(policy: Policy, values: Mapping[str, torch.Tensor]) -> Array:
    """How far one quantization step in every unit before the last layers can move the output.

    The step moves a last layer's value by s_x · Σ|W|; both directions are followed through what comes
    after it (monotone: squash, unscale, clip).
    """
    final = values[policy.scores_node or policy.nodes[-1].name]
    bound = torch.zeros_like(final)
    for name, layer in policy.weighted_layers():
        if layer.quant.input is None or not policy.is_last(name):
            continue
        delta = _step_delta(layer)
        for sign in (1.0, -1.0):
            moved = policy.replay(values, name, values[name] + sign * delta)
            bound = torch.maximum(bound, (moved[policy.scores_node or policy.nodes[-1].name] - final).abs())
    return bound.numpy()


def _step_delta(layer: Weighted) -> torch.Tensor:
    spec = layer.quant.input
    scale = torch.tensor(0.0) if spec is None else spec.scale.max()
    per_output = layer.weight.detach().abs().flatten(1).sum(1) * scale
    return per_output.reshape(-1, *([1] * (layer.weight.dim() - 2)))


def rounding_slack(policy: Policy, observations: Observations) -> Array:
    """How far the last bits of its parameters move the fp32 policy's output, per observation and component.

    A float32 dot product is exact for weights that differ in their last bits (the backward error of summation),
    so two right evaluations may differ by this much; far outside what was visited it exceeds 1e-5.
    """
    exact = policy.clone()
    for _, layer in exact.weighted_layers():
        layer.quant = FLOAT
    generator = torch.Generator().manual_seed(0)
    tensors = to_tensors(observations)
    with torch.no_grad():
        want = exact.scores(tensors)
        slack = torch.zeros_like(want)
        for _ in range(ROUNDING_DRAWS):
            moved = exact.clone()
            for parameter in moved.parameters():
                signs = torch.randint(0, 2, parameter.shape, generator=generator) * 2.0 - 1.0
                parameter.mul_(1 + ROUNDING_STEP * signs)
            slack = torch.maximum(slack, (moved.scores(tensors) - want).abs())
    return slack.numpy()


def _check_float(got: Array, want: Array, slack: Array, against: str) -> None:
    error = np.abs(got - want)
    if not bool((error <= FLOAT_TOLERANCE * (1 + np.abs(want)) + slack).all()):
        raise _failed(against, error, "|Δ| ≤ 1e-5 · (1 + |a|) + what float32 rounding allows")


def _check_share(got: Array, want: Array, value_range: Array, against: str) -> float:
    error = np.abs(got - want)
    share = float((error <= QUANTIZED_TOLERANCE_OF_RANGE * value_range).mean())
    if not share >= QUANTIZED_SHARE:
        raise _failed(against, error, f"99.9 % of components within 1e-4 of the action range; {100 * share:.2f} % are")
    return share


def _check_decisions(space: Space, scores: Array, bound: Array, got: Array, want: Array) -> None:
    clear = _clear_decisions(space, scores, bound)
    differ = (got != want) & clear
    if bool(differ.any()):
        raise ParityError(
            "The file decides otherwise than the policy.",
            got=f"{int(differ.sum())} of {int(clear.sum())} clear decisions differ",
            expected="identical wherever the gap of the best two scores exceeds twice the bound",
        )


def _clear_decisions(space: Space, scores: Array, bound: Array) -> npt.NDArray[np.bool_]:
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


def _value_range(space: Space, values: Array, decided_by: str) -> Array:
    """Range that tolerances refer to: the action bounds, or what was seen where they are infinite or scores."""
    seen = np.maximum(values.max(0) - values.min(0), 1e-6)
    if decided_by == SCORES or not isinstance(space, Box):
        return np.full_like(seen, seen.max())
    low, high = space.bounds()
    span = high - low
    return np.where(np.isfinite(span), span, seen)


def _reference(model: bytes, runtime: OnnxRuntime, observations: Observations) -> Array:
    evaluator = ReferenceEvaluator(onnx.load_from_string(model))
    feeds: dict[str, Array] = {}
    for spec in runtime.contract.inputs:
        part = observations[spec.name.partition(".")[2]] if isinstance(observations, Mapping) else observations
        feeds[spec.name] = np.asarray(part, dtype=spec.dtype)
    names = [SCORES] if any(spec.name == SCORES for spec in runtime.contract.outputs) else [ACTION]
    results = cast(list[Array], evaluator.run(names, feeds))
    return np.asarray(results[0])


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
        f"The file does not do what {against} does; nothing was written.",
        got=f"largest difference {float(np.nanmax(error)) if error.size else float('nan'):.3g}",
        expected=expected,
        hint="This is a defect of policypress or of a dependency: please report it with the agent and the recipe.",
    )
