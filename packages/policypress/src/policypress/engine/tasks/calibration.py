"""The observations that the cells of one agent share: to calibrate on, held out, and to prove parity with."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from policypress import seeding
from policypress.compression.pipeline import CalibrationData
from policypress.environments.batches import ObservationBatch, held_out_split, joined, size_of, take
from policypress.environments.extremes import draw, extremes
from policypress.environments.memory.episodes import cut_at, lived_through, whole_episodes
from policypress.environments.memory.remembering import memory_of
from policypress.environments.observations import STARTS, RecordedObservations, visited
from policypress.environments.rollout_source import RolloutSource
from policypress.measurement.agent_in_environment import AgentInEnvironment
from policypress.measurement.evaluation import runtime_of
from policypress.measurement.returns import actor_of
from policypress.policy.observation_layers import is_any_image
from policypress_runtime.contract import DictSpace, Space
from policypress_runtime.errors import ExecutionError
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime


@dataclass(frozen=True)
class Counts:
    """How many observations are taken: to calibrate, held out for the action error, and to prove parity."""

    calibration: int
    held_out: int
    parity_visited: int
    parity_extreme: int


VECTORS = Counts(2048, 512, 512, 64)
# An image observation is some 28 kB and goes through convolutions.
IMAGES = Counts(384, 96, 48, 16)
# Whole episodes on which a policy with memory is compared, and the length of those that are drawn.
DRIFT_EPISODES = 2
DRAWN_STEPS = 64


def counts_for(space: Space) -> Counts:
    """Fewer observations where there are images."""
    parts = [part for _, part in space.spaces] if isinstance(space, DictSpace) else [space]
    return IMAGES if any(is_any_image(part) for part in parts) else VECTORS


@dataclass
class Calibration:
    """One agent in its environment, and the observations that its recipes are calibrated and proved on.

    ``recorded`` stands in for the environment where there is none. Rollouts happen when the observations are first
    asked for, once; ``prepared`` are those of an earlier time.
    """

    subject: AgentInEnvironment
    seed: int = 0
    recorded: RecordedObservations | None = None
    prepared: CalibrationData | None = None

    @cached_property
    def materials(self) -> CalibrationData:
        """Observations that the fp32 policy met (or that were recorded), divided by use.

        Calibration and held-out observations come from different episodes.
        """
        rollouts, learned = None, None
        if self.subject.factory is not None and self.recorded is None:
            rollouts = RolloutSource(self.subject.factory, self.subject.max_steps)
        if self.prepared is not None:
            return replace(self.prepared, rollouts=rollouts)
        counts = counts_for(self.subject.policy.observation_space)
        episodes: tuple[ObservationBatch, ...] = ()
        if self.subject.policy.states:
            episodes = self._episodes()
        if self.recorded is None:
            calibration = self._observations(counts.calibration, seeding.CALIBRATION)
            held_out = self._observations(counts.held_out, "held_out")
        else:
            rng = seeding.generator(self.seed, "held_out")
            share = counts.held_out / (counts.held_out + counts.calibration)
            learned, held_out = held_out_split(self._met(self.recorded.batch, episodes), share, rng)
            calibration = take(learned, slice(0, counts.calibration))
        rng = seeding.generator(self.seed, seeding.PARITY)
        chosen = rng.permutation(size_of(calibration))[: counts.parity_visited]
        edges = extremes(self.subject.policy.observation_space, calibration, counts.parity_extreme, rng)
        parity = joined(take(calibration, chosen), edges)
        return CalibrationData(calibration, held_out, parity, rollouts, learned, episodes)

    def _met(self, batch: ObservationBatch, episodes: Sequence[ObservationBatch]) -> ObservationBatch:
        """``batch``, with the states in which the policy meets it in the course of ``episodes``, if it has any."""
        actor = memory_of(actor_of(self._runtime))
        return batch if actor is None else lived_through(actor, episodes, self.subject.policy.observation_space)

    def _episodes(self) -> tuple[ObservationBatch, ...]:
        """Whole episodes of a policy with memory: logged, or played."""
        if self.recorded is not None:
            return cut_at(self.recorded.batch, self.recorded.starts)
        actor = memory_of(actor_of(self._runtime))
        if self.subject.factory is None or actor is None:
            raise _no_source()
        seeds = seeding.episode_seeds(self.seed, "drift", DRIFT_EPISODES)
        return whole_episodes(self.subject.factory, actor, seeds, self.subject.max_steps)

    def drawn_materials(self) -> CalibrationData:
        """Observations drawn from the space alone: enough to prove an fp32 artifact, not to calibrate on."""
        space = self.subject.policy.observation_space
        counts = counts_for(space)
        rng = seeding.generator(self.seed, seeding.PARITY)
        drawn = draw(space, counts.parity_visited, rng)
        held_out = draw(space, counts.held_out, rng)
        episodes: tuple[ObservationBatch, ...] = ()
        if self.subject.policy.states:
            episodes = cut_at(drawn, np.arange(size_of(drawn)) % DRAWN_STEPS == 0)
            drawn, held_out = self._met(drawn, episodes), self._met(held_out, cut_at(held_out, None))
        edges = extremes(space, drawn, counts.parity_extreme, rng)
        return CalibrationData(drawn, held_out, joined(drawn, edges), episodes=episodes)

    def _observations(self, count: int, purpose: str) -> ObservationBatch:
        if self.recorded is not None:
            return self.recorded.sample(count, self.seed, purpose)
        if self.subject.factory is None:
            raise _no_source()
        return visited(
            self.subject.factory,
            actor_of(self._runtime),
            count=count,
            seed=self.seed,
            purpose=purpose,
            max_steps=self.subject.max_steps,
        )

    @cached_property
    def _runtime(self) -> OnnxRuntime:
        return runtime_of(self.subject.policy)


def _no_source() -> ExecutionError:
    return ExecutionError(
        "Observations need a source.",
        got="neither an environment nor recorded observations",
        expected="--env, or --observations logged.npz",
    )


def hash_of(recorded: RecordedObservations) -> str:
    """Sha256 of recorded observations: their keys, types, shapes and values."""
    digest = hashlib.sha256()
    batch = recorded.batch if isinstance(recorded.batch, dict) else {"": recorded.batch}
    if recorded.starts is not None:
        batch = {**batch, STARTS: recorded.starts}
    for key, values in sorted(batch.items()):
        digest.update(f"{key}:{values.dtype}:{values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
