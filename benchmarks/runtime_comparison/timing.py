"""Latency from Python: contenders take turns in a new order each round, raw samples kept, medians of ratios."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from policypress.measurement.cpu_time import act_for
from runtime_comparison.contenders import Act
from runtime_comparison.networks import Array

FLOOR = "harness floor"
EVICTION_BYTES = 128 << 20
BLOCK = 50
PERCENTILES = {"p50": 50.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int
    calls: int
    cold_calls: int
    window_s: float


QUICK, FULL = Effort(3, 50, 2, 0.005), Effort(40, 500, 30, 0.1)


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
    for act in everyone.values():
        _calls(act, inputs, 20)
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(effort.rounds):
            for index in order.permutation(len(names)):
                act, result = everyone[names[index]], found[names[index]]
                result.warm_s += _calls(act, inputs, effort.calls)
                result.block_s.append(_block(act, inputs))
                window = act_for(act, inputs, effort.window_s)
                result.cpu_s.append(window.cpu_per_action_s / batch)
        for _ in range(effort.cold_calls):
            for index in order.permutation(len(names)):
                eviction += 1
                found[names[index]].cold_s += _calls(everyone[names[index]], inputs, 1)
    finally:
        if collecting:
            gc.enable()
    return found


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


def _block(act: Act, inputs: list[Array]) -> float:
    """The best of three blocks, by the call: what a neighbour on the core took away is not the runtime's."""
    chunk = [inputs[i % len(inputs)] for i in range(BLOCK)]
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter_ns()
        for x in chunk:
            act(x)
        best = min(best, (time.perf_counter_ns() - start) / BLOCK)
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
