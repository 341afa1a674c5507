"""Energy of the processor packages and their memory, from the counters that Linux shows below powercap (RAPL)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from policypress_runtime.errors import MeterError

ROOT = Path("/sys/class/powercap")
_MICRO = 1e-6
# The counters of server processors count units of 2^-14 J, those of others finer ones; the unit itself is not shown.
_RESOLUTION_J = 2**-14
_UPDATE_S = 1e-3


@dataclass
class _Zone:
    """One counter: where it is, when it wraps around, and what it last showed."""

    folder: Path
    name: str
    range_uj: int
    last_uj: int


class Rapl:
    """Sum over all packages of a machine, and their memory where it is counted apart.

    Parts of a package (``core``, ``uncore``) and the whole platform (``psys``) would count energy twice and are left
    out; AMD's processors show the same files. Read at least once per wrap-around (minutes at full power).

    Args:
        root: folder of the zones.
        read: reads one file.

    Raises:
        MeterError: there is no zone, or it may not be read.
    """

    name = "rapl"
    covers: Literal["processor"] = "processor"
    resolution_j = _RESOLUTION_J
    update_s = _UPDATE_S

    def __init__(self, root: Path = ROOT, read: Callable[[Path], str] = Path.read_text) -> None:
        self._read = read
        self._total_uj = 0
        # Zones of the mmio variant show the packages a second time and have another prefix.
        folders = sorted(root.glob("intel-rapl:*"))
        names = {folder: self._text(folder / "name") for folder in folders}
        wanted = {f: name for f, name in names.items() if name.startswith("package") or name == "dram"}
        if not any(name.startswith("package") for name in wanted.values()):
            raise MeterError(
                "This machine has no readable energy counters of its processor (RAPL).",
                got=f"no package zone in {root}",
                hint="Virtual machines rarely pass the processor's energy counters on; measure on the hardware itself.",
            )
        self._zones = [
            _Zone(folder, name, self._number(folder / "max_energy_range_uj"), self._number(folder / "energy_uj"))
            for folder, name in wanted.items()
        ]

    def energy_j(self) -> float:
        """Joules since the meter was opened; a counter that is lower than before has wrapped around.

        Raises:
            MeterError: a counter vanished, or may no longer be read.
        """
        for zone in self._zones:
            now_uj = self._number(zone.folder / "energy_uj")
            step_uj = now_uj - zone.last_uj
            if step_uj < 0 and zone.range_uj <= 0:
                raise MeterError("An energy counter wrapped around at an unknown value.", got=str(zone.folder))
            self._total_uj += step_uj if step_uj >= 0 else step_uj + zone.range_uj
            zone.last_uj = now_uj
        return self._total_uj * _MICRO

    def described(self) -> dict[str, Any]:
        """Names of the zones that are summed."""
        return {"zones": [f"{zone.folder.name} {zone.name}" for zone in self._zones]}

    def _text(self, path: Path) -> str:
        try:
            return self._read(path).strip()
        except PermissionError as error:
            raise MeterError(
                "The processor's energy counters (RAPL) may be read by root only.",
                got=f"permission denied: {path}",
                hint="sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj  (until the next start)",
            ) from error
        except OSError as error:
            raise MeterError("An energy counter of the processor (RAPL) cannot be read.", got=str(error)) from error

    def _number(self, path: Path) -> int:
        text = self._text(path)
        if not text.isdigit():
            raise MeterError("An energy counter of the processor (RAPL) is no number.", got=f"{path}: {text!r}")
        return int(text)
