"""Energy per action: measured by a meter above what the idle machine takes, or modelled from CPU time.

Measured, for each window of acting: (energy − idle power · duration) / actions. What a meter cannot tell from the idle
machine is "below resolution": there is no value then, and the reason goes with the modelled one. Modelled:
CPU-seconds per action · watts of a busy core.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from policypress.measurement.costs.cpu_time import Window
from policypress.measurement.costs.energy_meters import Meter
from policypress.records import Measurement
from policypress_runtime.errors import StudyInputError

PER_ACTION = "energy_per_action"
PER_EPISODE = "energy_per_episode"
MODEL = "model"
IDLE_S = 0.2

WATTS_PER_CORE = 12.0
WATTS_SOURCE = (
    "12 W for a core of any processor: Green Algorithms (Lannelongue, Grealey and Inouye, Advanced Science 2021, "
    "doi:10.1002/advs.202100707), data/latest/TDP_cpu.csv"
)
STATED_SOURCE = "stated by the user"


@dataclass(frozen=True)
class MeteredWindow:
    """A stretch of acting with the energy that a meter counted meanwhile, the idle machine's part included."""

    window: Window
    energy_j: float


@dataclass(frozen=True)
class IdleWindow:
    """A stretch of doing nothing, as reference."""

    wall_s: float
    energy_j: float

    @property
    def power_w(self) -> float:
        """Power of the idle machine."""
        return self.energy_j / self.wall_s


def idle_for(meter: Meter, seconds: float = IDLE_S, sleep: Callable[[float], None] = time.sleep) -> IdleWindow:
    """Let the machine idle for some ``seconds``.

    Raises:
        MeterError: the meter cannot be read any more.
    """
    before_j, start_s = meter.energy_j(), time.perf_counter()
    sleep(seconds)
    energy_j = meter.energy_j() - before_j
    return IdleWindow(time.perf_counter() - start_s, energy_j)


def metered(meter: Meter, work: Callable[[], Window]) -> MeteredWindow:
    """Do ``work`` and count its energy.

    Raises:
        MeterError: the meter cannot be read any more.
    """
    before_j = meter.energy_j()
    window = work()
    return MeteredWindow(window, meter.energy_j() - before_j)


def measured(
    meter: Meter,
    windows: Sequence[MeteredWindow],
    idle: Sequence[IdleWindow],
    protocol: Mapping[str, Any],
    machine: Mapping[str, Any],
) -> Measurement | str:
    """Energy per action above idle, one sample for each window; or why there is none.

    What can be told apart in a window is the counter's step or what flows between two of its updates, whichever is
    more, and half the spread of the idle windows on top.
    """
    idle_w = float(np.mean([window.power_w for window in idle]))
    spread_w = (max(w.power_w for w in idle) - min(w.power_w for w in idle)) / 2
    net_j = [item.energy_j - idle_w * item.window.wall_s for item in windows]
    blur_j = [
        max(meter.resolution_j, item.energy_j / item.window.wall_s * meter.update_s) + spread_w * item.window.wall_s
        for item in windows
    ]
    duration_s = float(np.median([item.window.wall_s for item in windows]))
    if all(item.energy_j == 0 for item in windows):
        return f"below resolution: the counter stood still during windows of {duration_s:.2g} s"
    if float(np.median(net_j)) < float(np.median(blur_j)):
        return (
            f"below resolution: {np.median(net_j):.2g} J above idle in windows of {duration_s:.2g} s, "
            f"where {np.median(blur_j):.2g} J can be told apart"
        )
    metadata = {
        **protocol,
        "meter": meter.name,
        "covers": meter.covers,
        "counters": meter.described(),
        "resolution_j": meter.resolution_j,
        "told_apart_j": float(np.median(blur_j)),
        "idle_window_s": float(sum(window.wall_s for window in idle)),
        "idle_power_w": idle_w,
        "above_idle": True,
        "windows_s": [round(item.window.wall_s, 6) for item in windows],
    }
    samples = tuple(joules / item.window.actions for joules, item in zip(net_j, windows, strict=True))
    return Measurement(PER_ACTION, "J", samples, metadata, machine)


def modelled(cpu: Measurement, watts_per_core: float | None, not_measured: Mapping[str, str]) -> Measurement:
    """Energy per action from CPU-seconds per action.

    >>> cpu = Measurement("cpu_per_action", "s", (2e-6,), {}, {})
    >>> modelled(cpu, 8.0, {}).samples
    (1.6e-05,)

    Args:
        cpu: CPU-seconds per action.
        watts_per_core: power of a busy core; by default :data:`WATTS_PER_CORE`.
        not_measured: name of a meter → why it gave no value.

    Raises:
        StudyInputError: the power is not positive and finite.
    """
    watts = WATTS_PER_CORE if watts_per_core is None else checked_watts(watts_per_core)
    protocol = {
        **{name: value for name, value in cpu.protocol.items() if name not in ("clock", "windows_s")},
        "meter": MODEL,
        "formula": "CPU-seconds per action x watts per busy core",
        "watts_per_core": watts,
        "watts_source": WATTS_SOURCE if watts_per_core is None else STATED_SOURCE,
        "not_measured": dict(not_measured),
    }
    samples = tuple(value * watts for value in cpu.samples)
    return replace(cpu, quantity=PER_ACTION, unit="J", samples=samples, protocol=protocol, source="modelled")


def per_episode(per_action: Measurement, lengths: Sequence[int]) -> Measurement:
    """Energy of a whole episode: energy per action times the mean of ``lengths``, the episodes' steps (one or more)."""
    mean = float(np.mean(lengths))
    protocol = {
        **per_action.protocol,
        "derived": "energy per action x mean episode length",
        "mean_episode_length": mean,
        "episodes": len(lengths),
    }
    samples = tuple(value * mean for value in per_action.samples)
    return replace(per_action, quantity=PER_EPISODE, samples=samples, protocol=protocol)


def checked_watts(watts: float) -> float:
    """``watts``, if it can be the power of a core.

    Raises:
        StudyInputError: it is not positive and finite.
    """
    if not (math.isfinite(watts) and watts > 0):
        raise StudyInputError(
            "This is not a valid power of a busy core.", got=f"{watts} W", expected="a positive number of watts"
        )
    return watts
