"""How busy other programs kept the machine while something was measured: what a cost's reader must know of it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

import psutil

QUIET_CORES = 0.1
"""A machine where others keep fewer cores busy than this counts as quiet."""


def _machine_busy_s() -> float:
    """CPU-seconds that all cores have spent on anything since the machine started."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # Linux counts a guest's time in user and nice as well.
    twice = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return float(sum(times)) - idle - twice


def _own_busy_s() -> float:
    """CPU-seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])


@dataclass
class BackgroundLoad:
    """Counts from its making on; children of this process must have ended when it is asked."""

    _machine_s: float = field(default_factory=_machine_busy_s)
    _own_s: float = field(default_factory=_own_busy_s)
    _began_s: float = field(default_factory=time.monotonic)

    def busy_cores(self) -> float:
        """Mean number of cores that were busy with something else; 0 where the clocks' steps hide it."""
        wall_s = time.monotonic() - self._began_s
        others_s = (_machine_busy_s() - self._machine_s) - (_own_busy_s() - self._own_s)
        return max(others_s, 0.0) / wall_s if wall_s > 0 else 0.0
