"""Latency of acting, one observation at a time, as a control loop sees it from Python.

One thread, monotonic clock, warm and cold caches, raw samples kept. The subjects take turns (A B A B ...) in
one process, so that a ratio holds even where the machine's speed drifts. A policy that does nothing is
measured with them: the harness floor.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from policypress.agents.applicable import AgentKind
from policypress.agents.overrides import NO_OVERRIDES, Overrides
from policypress.environments.batches import single
from policypress.environments.extremes import extremes
from policypress.measurement.agent_in_environment import AgentLike, agent_in_environment
from policypress.measurement.evaluation import as_artifact, model_of
from policypress.measurement.machine import fingerprint
from policypress.measurement.stated_facts import check_acting, kind_of, shared_between
from policypress.records import Measurement
from policypress.seeding import generator
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import EnvironmentInputError
from policypress_runtime.runtimes.loading import load_artifact, load_model
from policypress_runtime.runtimes.protocol import Runtime, RuntimeChoice

FLOOR = "floor"
ROUNDS = 10
OBSERVATIONS = 16
# Writing this much between two actions evicts a policy, and the runtime's code, from the caches of current machines.
EVICTION_BYTES = 128 * 1024 * 1024


@dataclass(frozen=True)
class Latency:
    """Latencies of one subject in seconds; percentiles come from the raw ``warm`` and ``cold`` samples."""

    name: str
    runtime: str
    warm: Measurement
    cold: Measurement

    def percentiles_s(self, which: str = "warm") -> dict[str, float]:
        """p50, p95, p99, p99.9 and max of the ``warm`` or ``cold`` samples."""
        return _percentiles_s((self.warm if which == "warm" else self.cold).samples)


def benchmark(
    subjects: Sequence[AgentLike],
    *,
    samples: int = 2000,
    cold_samples: int = 50,
    seed: int = 0,
    overrides: Overrides = NO_OVERRIDES,
    env: EnvironmentSpec | str | None = None,
    runtimes: Sequence[RuntimeChoice] = ("auto",),
) -> tuple[Latency, ...]:
    """Latency of each subject, interleaved; the first entry is the harness floor.

    Args:
        subjects: paths of artifacts or agents, Hub ids, bundles or policies.
        samples: warm samples of each.
        cold_samples: samples of each with the caches evicted before the action.
        seed: of the observations that are acted on.
        overrides: facts that the user states of an agent's network.
        env: settles what an agent's files leave open of its spaces; it is not played.
        runtimes: each subject is measured under each of them.

    Raises:
        InputError: a file cannot be used; or facts or an environment are stated that change nothing.
        NativeBuildError: ``native`` is asked for, and a subject cannot be built.
    """
    stated, _ = shared_between(subjects, overrides)
    if env is not None and all(kind_of(subject) is AgentKind.ACTING for subject in subjects):
        raise EnvironmentInputError(
            "The latency of an artifact does not depend on an environment.",
            got=f"an environment for {', '.join(map(str, subjects))}",
            expected="no environment for artifacts",
            hint="Leave --env out; `policypress evaluate` uses an environment.",
        )
    acting = [
        acting_of(str(subject) if isinstance(subject, str | Path) else type(subject).__name__, loaded, seed)
        for subject, facts in zip(subjects, stated, strict=True)
        for loaded in _loaded(subject, runtimes, facts, env)
    ]
    return interleaved(acting, fingerprint(), samples=samples, cold_samples=cold_samples, seed=seed)


@dataclass(frozen=True)
class Acting:
    """Something that acts, and observations to act on."""

    name: str
    runtime: str
    act: Callable[[Any], Any]
    observations: Sequence[Any]


def acting_of(name: str, runtime: Runtime, seed: int) -> Acting:
    """``runtime`` with a few finite observations of its own shapes; latency does not depend on their values."""
    rng = generator(seed, "latency")
    contract = runtime.contract
    zeros = {s.name.partition(".")[2]: np.zeros((1, *s.shape), s.dtype) for s in contract.inputs}
    batch = extremes(contract.observation_space, zeros.get("", zeros), OBSERVATIONS, rng)
    return Acting(name, runtime.name, runtime.act, [single(batch, index) for index in range(OBSERVATIONS)])


def interleaved(
    subjects: Sequence[Acting],
    machine: Mapping[str, Any],
    *,
    samples: int,
    cold_samples: int,
    seed: int,
    on_round: Callable[[], None] = lambda: None,
) -> tuple[Latency, ...]:
    """Latency of each subject, taking turns; the first entry is the harness floor, whose percentiles the others state.

    Args:
        subjects: the policies.
        machine: the JSON of where.
        samples: warm samples of each.
        cold_samples: samples of each with the caches evicted before the action.
        seed: of the observations.
        on_round: is called between rounds, :data:`ROUNDS` times warm and as often cold.
    """
    everyone = [Acting(FLOOR, "none", _nothing, [np.zeros(1, np.float32)]), *subjects]
    warm: list[list[float]] = [[] for _ in everyone]
    cold: list[list[float]] = [[] for _ in everyone]
    eviction = np.zeros(EVICTION_BYTES, np.uint8)
    for subject in everyone:
        _timed(subject, 100)
    # A new order each round: the previous policy leaves shared code in the caches, so the predecessor must vary.
    order = generator(seed, "latency", "order")
    for _ in range(ROUNDS):
        for index in order.permutation(len(everyone)):
            warm[index].extend(_timed(everyone[index], max(samples // ROUNDS, 1)))
        on_round()
    for number in range(cold_samples):
        for index in order.permutation(len(everyone)):
            eviction += 1
            cold[index].extend(_timed(everyone[index], 1, first=number))
        if number % max(cold_samples // ROUNDS, 1) == 0:
            on_round()
    floors = {"warm": _percentiles_s(warm[0]), "cold": _percentiles_s(cold[0])}
    protocol = {
        "batch": 1,
        "threads": 1,
        "clock": "perf_counter_ns",
        "interleaved": True,
        "rounds": ROUNDS,
        "observations": OBSERVATIONS,
        "garbage_collection": False,
    }

    def measurement(subject: Acting, cache: str, values: Sequence[float]) -> Measurement:
        floor = {name: floors[cache][name] for name in ("p50", "p95", "p99")}
        metadata = {**protocol, "cache": cache, "runtime": subject.runtime, "floor_s": floor}
        return Measurement("latency", "s", tuple(values), metadata, machine, seed=seed)

    return tuple(
        Latency(s.name, s.runtime, measurement(s, "warm", hot), measurement(s, "cold", chilled))
        for s, hot, chilled in zip(everyone, warm, cold, strict=True)
    )


def _nothing(_: Any) -> None:
    return None


def _loaded(
    subject: AgentLike,
    runtimes: Sequence[RuntimeChoice],
    overrides: Overrides,
    env: EnvironmentSpec | str | None,
) -> list[Runtime]:
    artifact = as_artifact(subject, runtimes[0])
    if artifact is not None:
        check_acting(artifact, overrides, str(subject))
        return [artifact, *(load_artifact(str(subject), runtime) for runtime in runtimes[1:])]
    model = model_of(agent_in_environment(subject, env=env, overrides=overrides, needs_environment=False).policy)
    return [load_model(model, runtime) for runtime in runtimes]


def _percentiles_s(samples: Sequence[float]) -> dict[str, float]:
    values = np.percentile(samples, [50, 95, 99, 99.9])
    return {**dict(zip(("p50", "p95", "p99", "p99.9"), map(float, values), strict=True)), "max": float(max(samples))}


def _timed(subject: Acting, count: int, first: int = 0) -> list[float]:
    """Seconds of ``count`` actions, to the nanosecond that the clock counts."""
    clock, act, observations = time.perf_counter_ns, subject.act, subject.observations
    elapsed_ns: list[int] = []
    collecting = gc.isenabled()
    # The heap of this process is no part of the policy; a collection in the middle of an action would be.
    gc.disable()
    try:
        for index in range(first, first + count):
            observation = observations[index % len(observations)]
            start = clock()
            act(observation)
            elapsed_ns.append(clock() - start)
    finally:
        if collecting:
            gc.enable()
    return [round(value * 1e-9, 9) for value in elapsed_ns]
