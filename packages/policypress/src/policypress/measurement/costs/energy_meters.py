"""What an energy meter is, and finding one that this machine lets us read.

A meter is a counter: two readings differ by the energy that flowed between them. Each kind has a file of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, Protocol, runtime_checkable

from policypress.measurement.costs.battery import Battery
from policypress.measurement.costs.nvml import Nvml
from policypress.measurement.costs.rapl import Rapl
from policypress_runtime.errors import MeterError

Covers = Literal["processor", "graphics", "machine"]


@runtime_checkable
class Meter(Protocol):
    """Counts energy.

    ``covers`` is what the counted energy feeds; ``resolution_j`` the smallest difference that the counter shows;
    ``update_s`` how long it may stand still although energy flows.
    """

    @property
    def name(self) -> str:
        """``rapl``, ``nvml`` or ``battery``."""
        ...

    @property
    def covers(self) -> Covers:
        """What the counted energy feeds."""
        ...

    @property
    def resolution_j(self) -> float:
        """Smallest step of the counter."""
        ...

    @property
    def update_s(self) -> float:
        """Longest time between two updates of the counter."""
        ...

    def energy_j(self) -> float:
        """Energy since the meter was opened; never falls.

        Raises:
            MeterError: the counter can no longer be read.
        """
        ...

    def described(self) -> dict[str, Any]:
        """What exactly is counted, as JSON."""
        ...


Opener = Callable[[], Meter]
# Those that count what a policy on the processor uses, the most precise first.
PROCESSOR_METERS: Mapping[str, Opener] = MappingProxyType({"rapl": Rapl, "battery": Battery})
ALL_METERS: Mapping[str, Opener] = MappingProxyType({"rapl": Rapl, "nvml": Nvml, "battery": Battery})


def find_meter(meters: Mapping[str, Opener] = PROCESSOR_METERS) -> tuple[Meter | None, dict[str, str]]:
    """The first meter that opens (None if none does), and why those before it do not: name → reason."""
    reasons: dict[str, str] = {}
    for name, opened in meters.items():
        try:
            return opened(), reasons
        except MeterError as error:
            reasons[name] = reason_of(error)
    return None, reasons


def reason_of(error: MeterError) -> str:
    """One line: what is wrong, and what was found."""
    return error.message if error.got is None else f"{error.message.rstrip('.')}: {error.got}"
