"""The work of a cell with a recipe: building its artifact, and playing its episodes.

Module-level functions of plain payloads, so that any process can run them; results are returned values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from policypress.compression.pipeline import CalibrationData, build_artifact
from policypress.compression.recipe import Recipe
from policypress.engine import notes
from policypress.engine.artifact_files import BuiltArtifact
from policypress.environments.rollout import random_actor, run_episode
from policypress.environments.side_by_side import Chooser, play_side_by_side
from policypress.environments.wrappers.faults import opened
from policypress.environments.wrappers.one_of_many import OneOfMany
from policypress.export.parity import Observations
from policypress.export.publish import sidecar_bytes, sidecar_name
from policypress.export.runtime_gate import check_runtime
from policypress.measurement.returns import actor_of, measure_returns
from policypress.policy.policy import Policy
from policypress.records import EpisodeRecord
from policypress_runtime.errors import NoNativeFormError
from policypress_runtime.runtimes.loading import fallback_notice, load_model
from policypress_runtime.runtimes.protocol import NATIVE, ONNXRUNTIME, RuntimeName

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
    fall_key: str = ""


@dataclass(frozen=True)
class ProvePayload:
    """An artifact that was built to act under ONNX Runtime, and whose native form shall act."""

    artifact: BuiltArtifact
    parity: Observations
    episodes: tuple[Observations, ...] = ()


def build(payload: BuildPayload) -> BuiltArtifact:
    """Press the recipe; the artifact has passed the parity gate, and so has its native form if that shall act.

    The native form is left in this machine's cache, for the tasks that play.
    """
    torch.set_num_threads(1)
    compressed = build_artifact(payload.policy, payload.recipe, payload.materials, payload.seed, notes.on_progress)
    name = compressed.record.path
    files = {name: compressed.artifact.model, sidecar_name(name): sidecar_bytes(compressed.artifact)}
    built = BuiltArtifact(replace(compressed.record, runtime=ONNXRUNTIME), files)
    if payload.runtime != NATIVE:
        return built
    return _acting_natively(built, compressed.artifact.policy, payload.materials.parity, compressed.artifact.episodes)


def prove(payload: ProvePayload) -> BuiltArtifact:
    """An artifact of another cell, whose native form has been compared with the file under ONNX Runtime here."""
    torch.set_num_threads(1)
    return _acting_natively(payload.artifact, None, payload.parity, payload.episodes)


def _acting_natively(
    built: BuiltArtifact, policy: Policy | None, parity: Observations, episodes: tuple[Observations, ...]
) -> BuiltArtifact:
    """``built``, with what acts with it, and why where that is not the native runtime.

    Raises:
        ParityError: its native form does something else.
    """
    record, model = built.record, built.files[built.record.path]
    try:
        native = load_model(model, NATIVE)
    except NoNativeFormError as error:
        notices = tuple(dict.fromkeys((*record.notices, fallback_notice(error))))
        return replace(built, record=replace(record, notices=notices))
    check_runtime(policy, model, native, parity, episodes)
    return replace(built, record=replace(record, runtime=NATIVE))


def play(payload: EpisodesPayload) -> tuple[EpisodeRecord, ...]:
    """One episode per seed, in their order; each depends on its seed alone."""
    if payload.model is not None:
        act = actor_of(load_model(payload.model, payload.runtime))
        return measure_returns(
            act, payload.factory, payload.seeds, max_steps=payload.max_steps, fall_key=payload.fall_key
        )
    with opened(payload.factory) as env:
        if isinstance(env, OneOfMany) and not payload.masked:
            simulator = env
            return play_side_by_side(
                env, lambda seeds: _drawn_for(simulator, seeds), payload.seeds, payload.max_steps, payload.fall_key
            )
        return tuple(
            run_episode(
                env, random_actor(env, seed, masked=payload.masked), seed, payload.max_steps, fall_key=payload.fall_key
            )
            for seed in payload.seeds
        )


def _drawn_for(env: OneOfMany, seeds: Sequence[int]) -> Chooser:
    """Random actions for every environment, each from the stream of its seed."""
    count = env.vector.num_envs
    actors = [random_actor(env, seeds[index % len(seeds)]) for index in range(count)]
    return lambda _: np.stack([np.asarray(act(None)) for act in actors])
