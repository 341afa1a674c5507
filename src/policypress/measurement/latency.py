"""Latency of acting, one observation at a time, as a control loop sees it from Python.

One thread, monotonic clock, warm and cold caches, raw samples kept. The subjects take turns (A B A B ...) in
one process, so that a ratio holds even where the machine's speed drifts. A policy that does nothing is
measured with them: the harness floor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from policypress.agent.overrides import NO_OVERRIDES, Overrides
from policypress.contract import EnvironmentSpec
from policypress.environment.batches import single
from policypress.environment.extremes import extremes
from policypress.measurement.evaluation import runtime_of
from policypress.measurement.machine import fingerprint
from policypress.measurement.subject import AgentLike, subject_of
from policypress.policy.policy import Policy
from policypress.records import Measurement
from policypress.runtime.loading import load_artifact
from policypress.runtime.onnx_runtime import OnnxRuntime
from policypress.seeding import generator

FLOOR = "floor"
ROUNDS = 10
# Reading this much between two actions evicts a policy from every cache level of current machines.
EVICTION_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Latency:
    """Latencies of one subject in seconds; percentiles come from the raw ``warm`` and ``cold`` samples."""

    name: str
    runtime: str
    warm: Measurement
    cold: Measurement

    def percentiles_s(self, which: str = "warm") -> dict[str, float]:
        """p50, p95, p99, p99.9 and max of the ``warm`` or ``cold`` samples."""
        samples = np.array((self.warm if which == "warm" else self.cold).samples)
        values = np.percentile(samples, [50, 95, 99, 99.9])
        names = ("p50", "p95", "p99", "p99.9")
        return {**dict(zip(names, map(float, values), strict=True)), "max": float(samples.max())}


def benchmark(
    subjects: Sequence[AgentLike],
    *,
    samples: int = 2000,
    cold_samples: int = 50,
    seed: int = 0,
    overrides: Overrides = NO_OVERRIDES,
    env: EnvironmentSpec | str | None = None,
) -> tuple[Latency, ...]:
    """Latency of each subject, interleaved; the first entry is the harness floor.

    Args:
        subjects: paths of artifacts or agents, Hub ids, bundles or policies.
        samples: warm samples of each.
        cold_samples: samples of each with the caches evicted before the action.
        seed: of the observations that are acted on.
        overrides: facts that the user states of an agent's network.
        env: settles what an agent's files leave open of its spaces; it is not played.

    Raises:
        InputError: a file cannot be used.
    """
    runtimes = [(str(s) if not isinstance(s, Policy) else "Policy", _runtime(s, overrides, env)) for s in subjects]
    acting: list[tuple[str, Callable[[Any], Any], list[Any]]] = [(FLOOR, _nothing, [np.zeros(1, np.float32)])]
    acting += [(name, runtime.act, _observations(runtime, seed)) for name, runtime in runtimes]
    warm: list[list[float]] = [[] for _ in acting]
    cold: list[list[float]] = [[] for _ in acting]
    eviction = np.zeros(EVICTION_BYTES, np.uint8)
    for _, act, observations in acting:
        _timed(act, observations, 100)
    for _ in range(ROUNDS):
        for store, (_, act, observations) in zip(warm, acting, strict=True):
            store.extend(_timed(act, observations, max(samples // ROUNDS, 1)))
    for _ in range(cold_samples):
        for store, (_, act, observations) in zip(cold, acting, strict=True):
            eviction += 1
            store.extend(_timed(act, observations, 1))
    machine = fingerprint()
    protocol = {"batch": 1, "threads": 1, "clock": "perf_counter_ns", "interleaved": True, "rounds": ROUNDS}
    kinds = ["none", *(runtime.name for _, runtime in runtimes)]
    return tuple(
        Latency(
            name,
            kind,
            Measurement("latency", "s", tuple(hot), {**protocol, "cache": "warm"}, machine, seed=seed),
            Measurement("latency", "s", tuple(chilled), {**protocol, "cache": "cold"}, machine, seed=seed),
        )
        for (name, _, _), kind, hot, chilled in zip(acting, kinds, warm, cold, strict=True)
    )


def _nothing(_: Any) -> None:
    return None


def _runtime(subject: AgentLike, overrides: Overrides, env: EnvironmentSpec | str | None) -> OnnxRuntime:
    if isinstance(subject, OnnxRuntime):
        return subject
    if not isinstance(subject, Policy) and str(subject).lower().endswith(".onnx"):
        return load_artifact(str(subject))
    return runtime_of(subject_of(subject, env=env, overrides=overrides, needs_environment=False).policy)


def _observations(runtime: OnnxRuntime, seed: int) -> list[Any]:
    """A few finite observations of the policy's own shapes; latency does not depend on their values."""
    rng = generator(seed, "latency")
    contract = runtime.contract
    zeros = {s.name.partition(".")[2]: np.zeros((1, *s.shape), s.dtype) for s in contract.inputs}
    visited = zeros.get("", zeros)
    batch = extremes(contract.observation_space, visited, 16, rng)
    return [single(batch, index) for index in range(16)]


def _timed(act: Callable[[Any], Any], observations: list[Any], count: int) -> list[float]:
    clock = time.perf_counter_ns
    result: list[float] = []
    for index in range(count):
        observation = observations[index % len(observations)]
        start = clock()
        act(observation)
        result.append((clock() - start) * 1e-9)
    return result
