"""The work of a cell that presses an agent: building its artifact, and playing its episodes.

Module-level functions of plain payloads, so that any process can run them; results are returned values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from policypress.compression.pipeline import Materials, press
from policypress.compression.recipe import Recipe
from policypress.environment.rollout import random_actor, run_episode
from policypress.export.publish import sidecar_bytes, sidecar_name
from policypress.measurement.returns import measure_returns
from policypress.policy.policy import Policy
from policypress.records import EpisodeRecord
from policypress.runtime.onnx_runtime import OnnxRuntime
from policypress.study.artifact_files import BuiltArtifact

Factory = Callable[[], Any]


@dataclass(frozen=True)
class BuildPayload:
    """What is needed to press one recipe."""

    policy: Policy
    recipe: Recipe
    materials: Materials
    seed: int


@dataclass(frozen=True)
class EpisodesPayload:
    """What is needed to play some episodes; ``model`` is None for the random policy."""

    model: bytes | None
    factory: Factory
    seeds: tuple[int, ...]
    max_steps: int | None


def build(payload: BuildPayload) -> BuiltArtifact:
    """Press the recipe; the artifact has passed the parity gate."""
    torch.set_num_threads(1)
    pressed = press(payload.policy, payload.recipe, payload.materials, payload.seed)
    name = pressed.record.path
    files = {name: pressed.artifact.model, sidecar_name(name): sidecar_bytes(pressed.artifact)}
    return BuiltArtifact(pressed.record, files)


def play(payload: EpisodesPayload) -> tuple[EpisodeRecord, ...]:
    """One episode per seed, in their order; each depends on its seed alone."""
    if payload.model is not None:
        act = OnnxRuntime(payload.model).act
        return measure_returns(act, payload.factory, payload.seeds, max_steps=payload.max_steps)
    env = payload.factory()
    try:
        return tuple(run_episode(env, random_actor(env, seed), seed, payload.max_steps) for seed in payload.seeds)
    finally:
        env.close()
