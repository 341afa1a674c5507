"""Latency from Python: contenders take turns in a new order each round, raw samples kept, medians of ratios."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from policypress.measurement.costs.cpu_time import act_for
from runtime_comparison.contenders import Act
from runtime_comparison.networks import Array

FLOOR = "harness floor"
EVICTION_BYTES = 128 << 20
BLOCK = 50
# What is shorter is measured by the chunk, between two looks at the clock.
CHUNK = 256
PERCENTILES = {"p50": 50.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}


@dataclass(frozen=True)
class Effort:
    """How much is measured: rounds, single calls of each contender in each, cold calls, and windows of CPU time.

    A contender whose calls are long makes fewer: as many as fit into ``turn_s``, but at least :data:`LEAST_CALLS`.
    """

    rounds: int
    calls: int
    cold_calls: int
    window_s: float
    turn_s: float


QUICK, FULL = Effort(3, 50, 2, 0.005, 0.02), Effort(40, 500, 30, 0.1, 0.1)
LEAST_CALLS = 3


@dataclass
class Timed:
    """What was found of one contender.

    ``warm_s`` and ``cold_s`` are single calls; ``block_s`` has, per round, the time of one call out of a block that is
    timed as a whole, which the clock's own cost does not show in; ``cpu_s`` CPU-seconds per action.
    """

    warm_s: list[float] = field(default_factory=list)
    cold_s: list[float] = field(default_factory=list)
    block_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)


def measured(acts: Mapping[str, Act], observations: Array, batch: int, effort: Effort) -> dict[str, Timed]:
    """Time of one call of each contender, and of doing nothing, with warm and with cold caches."""
    everyone: dict[str, Act] = {FLOOR: _nothing, **acts}
    inputs = [observations[i] for i in range(len(observations))] if batch == 1 else [observations[:batch]]
    found = {name: Timed() for name in everyone}
    order, names = np.random.default_rng(0), list(everyone)
    eviction = np.zeros(EVICTION_BYTES, np.uint8)
    usual_s = {name: float(np.median(_calls(act, inputs, 20))) for name, act in everyone.items()}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(effort.rounds):
            for index in order.permutation(len(names)):
                name = names[index]
                act, result = everyone[name], found[name]
                result.warm_s += _calls(act, inputs, _fitting(effort.calls, effort.turn_s, usual_s[name]))
                result.block_s.append(_block(act, inputs, _fitting(BLOCK, effort.turn_s, usual_s[name])))
                result.cpu_s.append(_cpu_s(act, inputs, effort.window_s, usual_s[name]) / batch)
        for _ in range(effort.cold_calls):
            for index in order.permutation(len(names)):
                eviction += 1
                found[names[index]].cold_s += _calls(everyone[names[index]], inputs, 1)
    finally:
        if collecting:
            gc.enable()
    return found


def _fitting(calls: int, turn_s: float, usual_s: float) -> int:
    return max(LEAST_CALLS, min(calls, int(turn_s / max(usual_s, 1e-9))))


def _cpu_s(act: Act, inputs: list[Array], window_s: float, usual_s: float) -> float:
    """CPU-seconds of one call."""
    if usual_s < window_s / CHUNK:
        return act_for(act, inputs, window_s).cpu_per_action_s
    count = max(LEAST_CALLS, int(window_s / usual_s))
    start = time.process_time()
    for index in range(count):
        act(inputs[index % len(inputs)])
    return (time.process_time() - start) / count


def _nothing(_: Array) -> None:
    return None


def _calls(act: Act, inputs: list[Array], count: int) -> list[float]:
    clock, elapsed = time.perf_counter_ns, []
    for index in range(count):
        x = inputs[index % len(inputs)]
        start = clock()
        act(x)
        elapsed.append(clock() - start)
    return [1e-9 * value for value in elapsed]


def _block(act: Act, inputs: list[Array], count: int) -> float:
    """The best of three blocks, by the call: what a neighbour on the core took away is not the runtime's."""
    chunk = [inputs[i % len(inputs)] for i in range(count)]
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter_ns()
        for x in chunk:
            act(x)
        best = min(best, (time.perf_counter_ns() - start) / count)
    return 1e-9 * best


def percentiles(samples: list[float]) -> dict[str, float]:
    """p50, p99, p99.9 and max."""
    return {name: float(np.percentile(samples, share)) for name, share in PERCENTILES.items()}


def ratio(slow: Timed, fast: Timed) -> float:
    """How many times faster ``fast`` is: the median over the rounds of the ratio of their times by the call."""
    return float(np.median(np.array(slow.block_s) / np.array(fast.block_s)))


def cpu_ratio(slow: Timed, fast: Timed) -> float:
    """The same of CPU-seconds per action."""
    return float(np.median(np.array(slow.cpu_s) / np.array(fast.cpu_s)))
