"""Golden vectors for the self-test of generated C: what ONNX Runtime says, where every right evaluation agrees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from policypress.export.compiled_c import CompiledC
from policypress.export.parity import (
    FLOAT_TOLERANCE,
    Observations,
    clear_decisions,
    decided_by_of,
    near,
    to_tensors,
    untied,
)
from policypress.policy.policy import ACTION, SCORES, Policy
from policypress.policy.rounding import rounding_bound
from policypress_runtime.codegen.program import Program
from policypress_runtime.codegen.rendering.selftest import Goldens
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime

Array = npt.NDArray[Any]
COUNT = 16
# Images are some 28 kB each; the text grows with them.
MOST_NUMBERS = 20_000
# Observations among which goldens are chosen.
CANDIDATES = 128


def goldens_of(
    program: Program, policy: Policy | None, model: bytes, observations: Observations, compiled: CompiledC | None
) -> Goldens | None:
    """Up to 16 observations, visited and extreme, with ONNX Runtime's outputs.

    Left out is what two right evaluations may decide differently: rounding ties, and scores too near each other.

    Args:
        program: what the C is written from.
        policy: what the file was proven against, if anything.
        model: the file.
        observations: to choose from.
        compiled: the C; where there is no policy to tell ties, what it computes tells them.

    Returns:
        None where no observation qualifies.
    """
    runtime = OnnxRuntime(model)
    rows = np.unique(np.linspace(0, count_of(observations) - 1, CANDIDATES).astype(np.int64))
    candidates = taken(observations, rows)
    outputs = runtime.run_batch(candidates)
    decided_by = decided_by_of(runtime.contract)
    want = np.asarray(outputs[decided_by])
    tolerance = tolerance_of(policy, want, candidates)
    right = np.ones(len(want), np.bool_) if policy is None else untied_rows(policy, candidates)
    if compiled is not None:
        got = np.asarray(compiled.run_batch(candidates)[decided_by])
        right &= (np.abs(got - want) <= tolerance / 2).reshape(len(want), -1).all(1)
    if decided_by == SCORES:
        clear = clear_decisions(runtime.contract.action_space, want, tolerance)
        right &= clear.reshape(len(want), -1).all(1)
    size = sum(part.storage.size for part in program.inputs)
    chosen = _spread(np.flatnonzero(right), max(1, min(COUNT, MOST_NUMBERS // size)))
    if not len(chosen):
        return None
    return Goldens(
        inputs=tuple(part_of(part.spec.name, part.spec.dtype, candidates)[chosen] for part in program.inputs),
        actions=np.asarray(outputs[ACTION])[chosen],
        scores=want[chosen] if decided_by == SCORES else None,
        tolerance=tolerance[chosen],
    )


def tolerance_of(policy: Policy | None, want: Array, observations: Observations) -> Array:
    """How far each component of ``want`` may be off where nothing is tied."""
    tolerance: Array = FLOAT_TOLERANCE * (1 + np.abs(want))
    if policy is None or policy.quantized:
        # The range of one observation's values: extreme ones are far greater than those that are visited.
        largest = np.abs(want).reshape(len(want), -1).max(1)
        tolerance = np.maximum(tolerance, near(largest).reshape(-1, *[1] * (want.ndim - 1)))
    if policy is not None:
        tolerance = tolerance + rounding_bound(policy, to_tensors(observations)).numpy()
    return tolerance


def untied_rows(policy: Policy, observations: Observations) -> npt.NDArray[np.bool_]:
    """Observations without a rounding tie."""
    if not policy.quantized:
        return np.ones(count_of(observations), np.bool_)
    return untied(policy.clone().double(), to_tensors(observations))


def _spread(rows: Array, count: int) -> Array:
    """``count`` of ``rows``, first and last included."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, count).astype(np.int64))] if len(rows) else rows


def count_of(observations: Observations) -> int:
    """Number of observations in a batch."""
    return len(next(iter(observations.values())) if isinstance(observations, Mapping) else observations)


def taken(observations: Observations, rows: Array) -> Observations:
    """Some rows of a batch."""
    if isinstance(observations, Mapping):
        return {key: value[rows] for key, value in observations.items()}
    return observations[rows]


def part_of(name: str, dtype: str, observations: Observations) -> Array:
    """What a batch has for the input ``name``, in its dtype."""
    values = observations[name.partition(".")[2]] if isinstance(observations, Mapping) else observations
    return np.asarray(values, dtype=dtype)
