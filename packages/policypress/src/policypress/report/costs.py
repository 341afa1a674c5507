"""What acting costs: latency, memory, CPU time and energy of one recipe, from the store's measurements.

What was not measured is :class:`~policypress.measurement.statistics.Missing` with its reason, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from policypress.measurement.statistics import Missing
from policypress.records import Measurement, Source

NATIVE, ONNXRUNTIME = "native", "onnxruntime"
"""Runtimes as measurements name them."""
RUNTIME_IN_WORDS = {NATIVE: "the native runtime", ONNXRUNTIME: "ONNX Runtime"}
SHORT_RUNTIMES = {NATIVE: "native", ONNXRUNTIME: "ONNX Runtime"}
NOT_MEASURED = Missing("not measured")
_PERCENTILES = (("p50", 50.0), ("p95", 95.0), ("p99", 99.0), ("p99.9", 99.9), ("max", 100.0))


@dataclass(frozen=True)
class Latency:
    """Seconds of one action, batch 1: percentiles of the raw samples by name (``p50`` … ``max``).

    ``cold_s`` (caches evicted before the action) and ``floor_s`` (the harness with a policy that does nothing) are
    None where they were not measured.
    """

    runtime: str
    warm_s: Mapping[str, float]
    cold_s: Mapping[str, float] | None
    floor_s: Mapping[str, float] | None
    samples: int
    protocol: Mapping[str, Any]


@dataclass(frozen=True)
class Memory:
    """Peak resident set, in bytes, of a fresh process that loads and acts; the median where there were several.

    ``bare_python_bytes`` is that of an interpreter that does nothing.
    """

    peak_rss_bytes: int
    bare_python_bytes: int | None
    protocol: Mapping[str, Any]


@dataclass(frozen=True)
class Energy:
    """Joules of one action (the median) and of one episode, measured or modelled: ``source`` must be shown beside."""

    per_action_j: float
    per_episode_j: float | None
    source: Source
    protocol: Mapping[str, Any]


@dataclass(frozen=True)
class Costs:
    """The costs of one recipe; ``machine`` is where they were measured."""

    latency: Latency | Missing
    memory: Memory | Missing
    cpu_s_per_action: float | Missing
    energy: Energy | Missing
    machine: Mapping[str, Any] | None

    @property
    def runtime(self) -> str | None:
        """What acted; None where nothing was measured."""
        measured = (self.latency, self.memory, self.energy)
        return next(
            (str(m.protocol["runtime"]) for m in measured if not isinstance(m, Missing) and "runtime" in m.protocol),
            None,
        )

    def to_json(self) -> dict[str, Any]:
        """JSON form; what is undefined is null, with its reason in ``…_reason``."""
        data: dict[str, Any] = {
            "latency_s": None,
            "peak_rss_bytes": None,
            "cpu_s_per_action": None,
            "energy_j": None,
        }
        if isinstance(self.latency, Latency):
            data["latency_s"] = {
                "runtime": self.latency.runtime,
                **self.latency.warm_s,
                "samples": self.latency.samples,
                "cold": None if self.latency.cold_s is None else dict(self.latency.cold_s),
                "floor": None if self.latency.floor_s is None else dict(self.latency.floor_s),
            }
        if isinstance(self.memory, Memory):
            data["peak_rss_bytes"] = self.memory.peak_rss_bytes
            data["bare_python_bytes"] = self.memory.bare_python_bytes
        if not isinstance(self.cpu_s_per_action, Missing):
            data["cpu_s_per_action"] = self.cpu_s_per_action
        if isinstance(self.energy, Energy):
            data["energy_j"] = {
                "value": self.energy.per_action_j,
                "source": self.energy.source,
                "per_episode": self.energy.per_episode_j,
                "protocol": dict(self.energy.protocol),
            }
        quantities = (self.latency, self.memory, self.cpu_s_per_action, self.energy)
        for key, value in zip(tuple(data)[:4], quantities, strict=True):
            if isinstance(value, Missing):
                data[f"{key}_reason"] = value.reason
        return data


def read_costs(rows: Sequence[Measurement], artifact_sha256: str | None = None, runtime: str | None = None) -> Costs:
    """Costs of one cell from its measurements; of a quantity that was measured again, the newest counts.

    Measurements that name another artifact than ``artifact_sha256`` are of an earlier build and do not count, nor do
    those under another ``runtime``, where one is given.
    """
    measurements = [
        row
        for row in rows
        if row.protocol.get("artifact_sha256", artifact_sha256) == artifact_sha256
        and (runtime is None or row.protocol.get("runtime", runtime) == runtime)
    ]
    made = [m for m in measurements if m.samples]
    return Costs(
        latency=_latency(measurements),
        memory=_memory(measurements),
        cpu_s_per_action=_median(_newest(measurements, "cpu_per_action")),
        energy=_energy(measurements),
        machine=made[-1].machine if made else None,
    )


def runtimes_of(rows: Sequence[Measurement], artifact_sha256: str | None = None) -> tuple[str, ...]:
    """Names of the runtimes that this artifact was measured under, the native one first: it is the fastest."""
    own = [row.protocol for row in rows if row.protocol.get("artifact_sha256", artifact_sha256) == artifact_sha256]
    names = dict.fromkeys(str(protocol["runtime"]) for protocol in own if "runtime" in protocol)
    return tuple(sorted(names, key=lambda name: name != NATIVE))


def percentiles(samples: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99, p99.9 and max of raw samples, by name."""
    values = np.percentile(np.asarray(samples, np.float64), [level for _, level in _PERCENTILES])
    return {name: float(value) for (name, _), value in zip(_PERCENTILES, values, strict=True)}


def _newest(measurements: Sequence[Measurement], quantity: str, **protocol: str) -> Measurement | Missing:
    """The newest measurement with samples; else why there is none, if a row without samples says so."""
    reason = NOT_MEASURED
    for row in reversed(measurements):
        if row.quantity == quantity and all(row.protocol.get(name) == value for name, value in protocol.items()):
            if row.samples:
                return row
            reason = Missing(str(row.protocol.get("reason", reason.reason)))
    return reason


def _median(row: Measurement | Missing) -> float | Missing:
    return row if isinstance(row, Missing) else float(np.median(row.samples))


def _latency(measurements: Sequence[Measurement]) -> Latency | Missing:
    warm = _newest(measurements, "latency", cache="warm")
    if isinstance(warm, Missing):
        return warm
    cold = _newest(measurements, "latency", cache="cold")
    return Latency(
        runtime=str(warm.protocol.get("runtime", "onnxruntime")),
        warm_s=percentiles(warm.samples),
        cold_s=None if isinstance(cold, Missing) else percentiles(cold.samples),
        floor_s=warm.protocol.get("floor_s"),
        samples=len(warm.samples),
        protocol=warm.protocol,
    )


def _memory(measurements: Sequence[Measurement]) -> Memory | Missing:
    row = _newest(measurements, "peak_rss")
    if isinstance(row, Missing):
        return row
    bare = row.protocol.get("bare_python_bytes")
    return Memory(round(float(np.median(row.samples))), None if bare is None else round(bare), row.protocol)


def _energy(measurements: Sequence[Measurement]) -> Energy | Missing:
    """Measured joules where a meter gave some, else modelled ones."""
    reason = NOT_MEASURED
    for source in ("measured", "modelled"):
        own = [row for row in measurements if row.source == source]
        action = _newest(own, "energy_per_action")
        if isinstance(action, Missing):
            reason = reason if reason is not NOT_MEASURED else action
            continue
        episode = _median(_newest(own, "energy_per_episode"))
        per_episode = None if isinstance(episode, Missing) else episode
        return Energy(float(np.median(action.samples)), per_episode, action.source, action.protocol)
    return reason
