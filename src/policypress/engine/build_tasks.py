"""The work of a cell that presses an agent: building its artifact, and playing its episodes.

Module-level functions of plain payloads, so that any process can run them; results are returned values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from policypress.compression.pipeline import CalibrationData, CompressedPolicy, build_artifact
from policypress.compression.recipe import Recipe
from policypress.engine import notes
from policypress.engine.artifact_files import BuiltArtifact
from policypress.environment.faults import opened
from policypress.environment.rollout import random_actor, run_episode
from policypress.errors import NoNativeFormError
from policypress.export.parity import check_runtime_parity
from policypress.export.publish import sidecar_bytes, sidecar_name
from policypress.measurement.returns import actor_of, measure_returns
from policypress.policy.policy import Policy
from policypress.records import EpisodeRecord
from policypress.runtime.loading import fallback_notice, load_model
from policypress.runtime.protocol import NATIVE, ONNXRUNTIME, RuntimeName

Factory = Callable[[], Any]


@dataclass(frozen=True)
class BuildPayload:
    """What is needed to press one recipe; ``runtime`` is what shall act with the artifact."""

    policy: Policy
    recipe: Recipe
    materials: CalibrationData
    seed: int
    runtime: str = ONNXRUNTIME


@dataclass(frozen=True)
class EpisodesPayload:
    """What is needed to play some episodes; ``model`` is None for the random policy, ``masked`` for allowed actions."""

    model: bytes | None
    factory: Factory
    seeds: tuple[int, ...]
    max_steps: int | None
    runtime: RuntimeName = ONNXRUNTIME
    masked: bool = False


def build(payload: BuildPayload) -> BuiltArtifact:
    """Press the recipe; the artifact has passed the parity gate, and so has its native form if that shall act.

    The native form is left in this machine's cache, for the tasks that play.
    """
    torch.set_num_threads(1)
    compressed = build_artifact(payload.policy, payload.recipe, payload.materials, payload.seed, notes.tell)
    name = compressed.record.path
    files = {name: compressed.artifact.model, sidecar_name(name): sidecar_bytes(compressed.artifact)}
    return BuiltArtifact(replace(compressed.record, **_acting(compressed, payload)), files)


def _acting(compressed: CompressedPolicy, payload: BuildPayload) -> dict[str, Any]:
    """Fields of the record: what acts with the artifact, and why where it is not what was asked for."""
    if payload.runtime != NATIVE:
        return {"runtime": ONNXRUNTIME}
    try:
        native = load_model(compressed.artifact.model, NATIVE)
    except NoNativeFormError as error:
        return {"runtime": ONNXRUNTIME, "notices": (*compressed.record.notices, fallback_notice(error))}
    check_runtime_parity(compressed.artifact.policy, compressed.artifact.model, native, payload.materials.parity)
    return {"runtime": NATIVE}


def play(payload: EpisodesPayload) -> tuple[EpisodeRecord, ...]:
    """One episode per seed, in their order; each depends on its seed alone."""
    if payload.model is not None:
        act = actor_of(load_model(payload.model, payload.runtime))
        return measure_returns(act, payload.factory, payload.seeds, max_steps=payload.max_steps)
    with opened(payload.factory) as env:
        return tuple(
            run_episode(env, random_actor(env, seed, masked=payload.masked), seed, payload.max_steps)
            for seed in payload.seeds
        )
