"""Applies a recipe: policy in, proven artifact and its record out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import onnx
import torch

from policypress import __version__
from policypress.compression.calibration import constant_features, constant_features_notice
from policypress.compression.learning import StepProgress, ignore_progress
from policypress.compression.recipe import Recipe
from policypress.compression.recurrence.met_states import left_of
from policypress.compression.step import Context, Observations, Stage, Step
from policypress.environments.rollout_source import RolloutSource
from policypress.export.parity import to_tensors
from policypress.export.publish import ProvenArtifact, prove
from policypress.measurement.sizes import integer_bits, packed_bytes
from policypress.policy.policy import ACTION, Policy
from policypress.records import ArtifactRecord
from policypress.writers.onnx_writer import contract_of, to_onnx
from policypress_runtime.contract import Box, Precision
from policypress_runtime.errors import NetworkError
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime


@dataclass(frozen=True)
class CalibrationData:
    """Observations that a recipe needs: for calibration, for the action error, and for the parity proof.

    ``parity`` holds visited and extreme observations; ``held_out`` is used only for the action error. Steps that learn
    collect more observations from ``rollouts``, or use the ``recorded`` ones (without those held out). For a policy
    with memory, observations hold the states that they were met in; ``episodes`` are whole ones, in order and without
    states, to prove that an artifact does not drift.
    """

    calibration: Observations
    held_out: Observations
    parity: Observations
    rollouts: RolloutSource | None = None
    recorded: Observations | None = None
    episodes: tuple[Observations, ...] = ()


WITHOUT_MEMORY = ("distill", "qat")
"""Steps that would change a policy with memory without knowing of it."""

PLAIN_SESSIONS = (
    "On x86 processors without VNNI a plain ONNX Runtime session computes 8-bit products wrongly and silently: give "
    "it session.x64quantprecision=1, as load_artifact does (docs/runtimes.md)."
)
"""What users of a quantized ONNX artifact without this package must know."""


def session_notices(recipes: Iterable[Recipe]) -> tuple[str, ...]:
    """:data:`PLAIN_SESSIONS`, where one of ``recipes`` makes weights of 8 bits; fewer bits do not overflow."""
    steps = [step for recipe in recipes for step in recipe.steps if step.stage >= Stage.QUANTIZATION]
    return (PLAIN_SESSIONS,) if any(_eight_bits(step) for step in steps) else ()


def _eight_bits(step: Step) -> bool:
    given = [value for name, value in step.arguments().items() if name in ("bits", "w")]
    bits = [one for value in given for one in (value if isinstance(value, tuple) else (value,))]
    return not bits or max(bits) >= 8


@dataclass(frozen=True)
class CompressedPolicy:
    """A compressed policy: the artifact, proven but not yet written, and its record."""

    artifact: ProvenArtifact
    record: ArtifactRecord


def build_artifact(
    policy: Policy,
    recipe: Recipe,
    calibration_data: CalibrationData,
    seed: int = 0,
    on_progress: Callable[[StepProgress], None] = ignore_progress,
) -> CompressedPolicy:
    """Apply ``recipe`` to ``policy``, write it to ONNX in memory, and pass the parity gate.

    Args:
        policy: the fp32 policy; it is not changed.
        recipe: the steps.
        calibration_data: observations; see :class:`CalibrationData`.
        seed: for steps that draw random numbers.
        on_progress: called with the progress of a step that learns.

    Raises:
        NetworkError: a step cannot handle the network.
        ParityError: the artifact does not compute what the compressed policy does.
    """
    start_s = time.perf_counter()
    context = Context(
        calibration_data.calibration, seed, policy, calibration_data.rollouts, calibration_data.recorded, on_progress
    )
    compressed, model, lowered = _apply(policy, recipe, context)
    notices = compressed.origin.notices
    if any(step.stage >= Stage.QUANTIZATION for step in recipe.steps):
        still = constant_features(policy.observation_space, calibration_data.calibration)
        notices += (constant_features_notice(still),) if still else ()
    packed = packed_bytes(model)
    notices += _not_smaller(policy, recipe, packed)
    contract = contract_of(compressed, recipe.text, recipe.hash, _precision(model), __version__)
    if any(node.op_type == "DynamicQuantizeLinear" for node in model.graph.node):
        contract = replace(contract, batch_independent=False)
    proven = prove(
        model,
        contract,
        None if lowered else compressed,
        left_of(calibration_data.parity, compressed),
        calibration_data.episodes,
    )
    parameters, before = compressed.parameter_count(), policy.parameter_count()
    record = ArtifactRecord(
        recipe=recipe.text,
        recipe_hash=recipe.hash,
        path=f"{recipe.slug}.onnx",
        sha256=proven.sha256,
        file_bytes=len(proven.model),
        packed_bytes=packed,
        parameters=parameters,
        macs=compressed.macs(),
        channel_ratio=1 - compressed.hidden_channels() / max(policy.hidden_channels(), 1),
        parameter_ratio=1 - parameters / before if before else 0.0,
        action_error=action_error(
            policy, proven.model, calibration_data.held_out, left_of(calibration_data.held_out, compressed)
        ),
        parity_max_error=proven.parity.max_error,
        build_s=time.perf_counter() - start_s,
        notices=notices,
    )
    return CompressedPolicy(proven, record)


def _apply(policy: Policy, recipe: Recipe, context: Context) -> tuple[Policy, onnx.ModelProto, bool]:
    """The compressed policy, its model, and whether the model was changed after it was written."""
    met = context.calibration
    for step in recipe.steps:
        if policy.states and step.name in WITHOUT_MEMORY:
            raise NetworkError(
                f"The step {step.name} cannot treat a policy with memory.",
                got=f"a policy with the state {', '.join(policy.state_names)}",
                expected="a policy without memory",
                hint='Leave the step out: "equalize > int8", or "equalize > gptq(4)".',
            )
        if step.stage < Stage.LOWERING:
            policy = step.apply(policy, replace(context, calibration=left_of(met, policy)))
    model = to_onnx(policy)
    lowering = [step for step in recipe.steps if step.stage == Stage.LOWERING]
    for step in lowering:
        model = step.lower(model, policy, replace(context, calibration=left_of(met, policy)))
    return policy, model, bool(lowering)


def _not_smaller(policy: Policy, recipe: Recipe, packed: int) -> tuple[str, ...]:
    """A notice where a student is not smaller than its teacher: its width is the user's choice."""
    if not any(step.name == "distill" for step in recipe.steps):
        return ()
    before = packed_bytes(to_onnx(policy))
    if packed < before:
        return ()
    return (f"{recipe.text} is not smaller: {packed} packed bytes, and the agent's own policy has {before}.",)


def _precision(model: onnx.ModelProto) -> Precision:
    """``fp32``, ``int8`` …, or ``mixed`` where the weights are not all alike."""
    bits = set(integer_bits(model).values())
    real = any(
        tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1 for tensor in model.graph.initializer
    )
    if not bits:
        return "fp32"
    precision: dict[int, Precision] = {8: "int8", 7: "int7", 6: "int6", 5: "int5", 4: "int4", 3: "int3", 2: "int2"}
    return "mixed" if real or len(bits) > 1 else precision[bits.pop()]


def action_error(policy: Policy, model: bytes, observations: Observations, given: Observations | None = None) -> float:
    """How far the artifact's actions are from the policy's on ``observations`` (for the artifact: ``given``).

    Continuous: mean absolute difference, as a share of the action range (of the actions seen where bounds are
    infinite). Discrete: share of decisions that differ.
    """
    with torch.no_grad():
        want = policy(to_tensors(observations)).numpy()
    got = OnnxRuntime(model).run_batch(observations if given is None else given)[ACTION]
    if not isinstance(policy.action_space, Box):
        return float((got != want).mean())
    low, high = policy.action_space.bounds()
    seen = np.maximum(want.max(0) - want.min(0), np.finfo(np.float32).tiny)
    span = np.where(np.isfinite(high - low), high - low, seen)
    return float((np.abs(got - want) / span).mean())
