"""What acting costs: latency, CPU time, peak memory and energy of several artifacts, measured side by side.

Everything is interleaved (A B A B ...), so that ratios hold where the machine's speed drifts. To be called alone on
the machine: nothing else at work, no other thread busy in this process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from policypress.measurement.costs import energy
from policypress.measurement.costs.cpu_time import WINDOW_S, Window, act_for, cpu_per_action
from policypress.measurement.costs.energy_meters import PROCESSOR_METERS, Meter, Opener, find_meter, reason_of
from policypress.measurement.costs.latency import ROUNDS, Acting, acting_of, interleaved
from policypress.measurement.costs.memory import PROCESSES, measure_peak_rss
from policypress.measurement.machine import fingerprint
from policypress.records import Measurement
from policypress_runtime.errors import MeterError
from policypress_runtime.runtimes.loading import load_artifact
from policypress_runtime.runtimes.protocol import RuntimeName

Costs = dict[str, tuple[Measurement, ...]]


@dataclass(frozen=True)
class CostProtocol:
    """How much is measured of each artifact.

    Args:
        warm_samples: latencies with warm caches.
        cold_samples: latencies with evicted caches.
        windows: windows of CPU time and energy.
        window_s: CPU-seconds of each.
        processes: fresh processes whose memory is measured.
    """

    warm_samples: int = 5000
    cold_samples: int = 40
    windows: int = 5
    window_s: float = WINDOW_S
    processes: int = PROCESSES


@dataclass
class _Steps:
    """Tells ``on_step`` how far the measurement is."""

    total: int
    on_step: Callable[[int, int], None]
    done: int = 0

    def one(self) -> None:
        self.done = min(self.done + 1, self.total)
        self.on_step(self.done, self.total)


@dataclass
class _Metering:
    """The meter in use, while it can be read, and why meters gave nothing: name → reason."""

    meter: Meter | None
    reasons: dict[str, str]
    idle: list[energy.IdleWindow] = field(default_factory=list)

    def lost(self, error: MeterError) -> None:
        """The meter cannot be read any more: what it counted so far is of no use."""
        if self.meter is not None:
            self.reasons[self.meter.name] = reason_of(error)
        self.meter = None


def measure_costs(
    artifacts: Mapping[str, Path],
    protocol: CostProtocol | None = None,
    runtimes: Mapping[str, RuntimeName] | None = None,
    *,
    seed: int = 0,
    watts_per_core: float | None = None,
    meters: Mapping[str, Opener] = PROCESSOR_METERS,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Costs:
    """Costs of each artifact: latency warm and cold, peak memory, CPU time and energy per action.

    Energy is measured where one of ``meters`` can, else modelled from the CPU time; the modelled value says why it is
    not measured.

    Args:
        artifacts: name → ONNX artifact.
        protocol: how much of each; by default :class:`CostProtocol`'s own.
        runtimes: name → its runtime; others get the best available.
        seed: of the observations acted on.
        watts_per_core: power of a busy core for the model.
        meters: name → what opens it, the preferred one first.
        on_step: is called with steps done and their total, between measurements.

    Raises:
        ArtifactError: a file is no artifact.
        ExecutionError: a fresh process with an artifact failed.
        StudyInputError: the watts are not positive.
    """
    how = protocol or CostProtocol()
    if watts_per_core is not None:
        energy.checked_watts(watts_per_core)
    machine = fingerprint()
    wanted = runtimes or {}
    loaded = {name: load_artifact(path, wanted.get(name, "auto")) for name, path in artifacts.items()}
    subjects = [acting_of(name, runtime, seed) for name, runtime in loaded.items()]
    if not subjects:
        return {}
    steps = _Steps(2 * ROUNDS + how.windows + how.processes * len(subjects), on_step)
    latencies = interleaved(
        subjects,
        machine,
        samples=how.warm_samples,
        cold_samples=how.cold_samples,
        seed=seed,
        on_round=steps.one,
    )[1:]
    work = _work(subjects, how, machine, watts_per_core, _Metering(*find_meter(meters)), seed, steps)
    names = {subject.name: subject.runtime for subject in subjects}
    memory = measure_peak_rss(artifacts, machine, names, processes=how.processes, on_process=steps.one)
    return {
        latency.name: (latency.warm, latency.cold, memory[latency.name], *work[latency.name]) for latency in latencies
    }


def _work(
    subjects: list[Acting],
    how: CostProtocol,
    machine: Mapping[str, Any],
    watts_per_core: float | None,
    metering: _Metering,
    seed: int,
    steps: _Steps,
) -> dict[str, tuple[Measurement, Measurement]]:
    """CPU time and energy per action, from the same windows."""
    windows: dict[str, list[Window]] = {subject.name: [] for subject in subjects}
    counted: dict[str, list[energy.MeteredWindow]] = {subject.name: [] for subject in subjects}
    for _ in range(how.windows):
        _idle(metering)
        for subject in subjects:
            window = _window(subject, how.window_s, metering, counted[subject.name])
            windows[subject.name].append(window)
        steps.one()
    _idle(metering)
    results = {}
    for subject in subjects:
        metadata = {"runtime": subject.runtime, "batch": 1, "threads": 1, "interleaved": True, "rounds": how.windows}
        cpu = cpu_per_action(windows[subject.name], metadata, machine, seed)
        results[subject.name] = (cpu, _energy(cpu, counted[subject.name], metering, metadata, watts_per_core))
    return results


def _idle(metering: _Metering) -> None:
    if metering.meter is None:
        return
    try:
        metering.idle.append(energy.idle_for(metering.meter))
    except MeterError as error:
        metering.lost(error)


def _window(subject: Acting, window_s: float, metering: _Metering, counted: list[energy.MeteredWindow]) -> Window:
    """One window of ``subject``; its energy goes to ``counted`` where it can be counted."""
    window: Window | None = None

    def work() -> Window:
        nonlocal window
        window = act_for(subject.act, subject.observations, window_s)
        return window

    if metering.meter is not None:
        try:
            counted.append(energy.metered(metering.meter, work))
        except MeterError as error:
            metering.lost(error)
    return window or work()


def _energy(
    cpu: Measurement,
    counted: list[energy.MeteredWindow],
    metering: _Metering,
    metadata: Mapping[str, Any],
    watts_per_core: float | None,
) -> Measurement:
    reasons = dict(metering.reasons)
    if metering.meter is not None:
        found = energy.measured(metering.meter, counted, metering.idle, metadata, cpu.machine)
        if isinstance(found, Measurement):
            return found
        reasons[metering.meter.name] = found
    return energy.modelled(cpu, watts_per_core, reasons)
