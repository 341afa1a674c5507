"""CPU time of acting: CPU-seconds per action, over windows that are long against every clock's step.

It repeats better than latency on a busy machine, and it is what energy is modelled from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policypress.records import Measurement

QUANTITY = "cpu_per_action"
# CPU-seconds over shorter windows scatter by more than some per cent.
WINDOW_S = 0.1
# Actions between two looks at the clock, which is a system call.
_CHUNK = 64


@dataclass(frozen=True)
class Window:
    """A stretch of acting and nothing else: the number of actions, CPU-seconds of the process, and wall-clock time."""

    actions: int
    cpu_s: float
    wall_s: float

    @property
    def cpu_per_action_s(self) -> float:
        """CPU-seconds of one action, the call from Python included."""
        return self.cpu_s / self.actions


def act_for(act: Callable[[Any], Any], observations: Sequence[Any], window_s: float = WINDOW_S) -> Window:
    """Act on ``observations`` again and again until ``window_s`` CPU-seconds are spent."""
    actions = 0
    chunk = [observations[i % len(observations)] for i in range(_CHUNK)]
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    while True:
        for observation in chunk:
            act(observation)
        actions += len(chunk)
        spent_s = time.process_time() - cpu_s
        if spent_s >= window_s:
            return Window(actions, spent_s, time.perf_counter() - wall_s)


def cpu_per_action(
    windows: Sequence[Window], protocol: Mapping[str, Any], machine: Mapping[str, Any], seed: int | None = None
) -> Measurement:
    """One sample for each window."""
    samples = tuple(window.cpu_per_action_s for window in windows)
    metadata = {**protocol, "clock": "process_time", "windows_s": [round(window.cpu_s, 6) for window in windows]}
    return Measurement(QUANTITY, "s", samples, metadata, machine, seed=seed)
