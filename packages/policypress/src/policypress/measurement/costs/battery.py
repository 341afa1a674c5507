"""Energy that a battery gives while the machine runs from it, as Linux shows it below power_supply."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from policypress_runtime.errors import MeterError

ROOT = Path("/sys/class/power_supply")
_MICRO = 1e-6
_S_PER_H = 3600.0
# Firmware refreshes its gauge every few seconds.
_UPDATE_S = 10.0


@dataclass
class _Cell:
    """One battery; ``unit`` is the kind of gauge it has, ``last`` what it last showed, in µWh or µAh."""

    folder: Path
    unit: Literal["energy", "charge"]
    step: int
    last: int


class Battery:
    """Sum over the machine's own batteries, all of what it runs on, screen included.

    Args:
        root: folder of the power supplies.
        read: reads one file.

    Raises:
        MeterError: there is no battery, the machine is on mains, or a file cannot be read.
    """

    name = "battery"
    covers: Literal["machine"] = "machine"
    update_s = _UPDATE_S

    def __init__(self, root: Path = ROOT, read: Callable[[Path], str] = Path.read_text) -> None:
        self._read = read
        self._total_j = 0.0
        folders = [f for f in sorted(root.glob("*")) if self._optional(f / "type") == "Battery"]
        # Mice and headsets have batteries too.
        folders = [f for f in folders if self._optional(f / "scope") != "Device"]
        if not folders:
            raise MeterError("This machine has no battery.", got=f"none in {root}")
        self._cells = [self._cell(folder) for folder in folders]
        self._check_discharging()
        self.resolution_j = max(cell.step * self._joules_per_step(cell) for cell in self._cells)

    def energy_j(self) -> float:
        """Joules given since the meter was opened.

        Raises:
            MeterError: the machine went on mains, or a battery is gone.
        """
        self._check_discharging()
        for cell in self._cells:
            now = self._number(cell.folder / f"{cell.unit}_now")
            # The charge that went, at the voltage of the moment: the voltage of a whole charge says nothing of a part.
            self._total_j += (cell.last - now) * self._joules_per_step(cell)
            cell.last = now
        return self._total_j

    def described(self) -> dict[str, Any]:
        """Names of the batteries and the gauge of each."""
        return {"batteries": [f"{cell.folder.name} {cell.unit}_now" for cell in self._cells]}

    def _cell(self, folder: Path) -> _Cell:
        for unit in ("energy", "charge"):
            if self._optional(folder / f"{unit}_now") is not None:
                last = self._number(folder / f"{unit}_now")
                shown = [self._optional(folder / f"{unit}_{kind}") for kind in ("full", "full_design")]
                # Gauges count in multiples of their step, which they do not tell: all values have it as a divisor.
                step = math.gcd(last, *(int(text) for text in shown if text is not None and text.isdigit()))
                return _Cell(folder, unit, max(step, 1), last)
        raise MeterError("The battery reports neither energy nor charge.", got=str(folder))

    def _joules_per_step(self, cell: _Cell) -> float:
        """Joules of one µWh, or of one µAh at the present voltage."""
        volts = 1.0 if cell.unit == "energy" else self._number(cell.folder / "voltage_now") * _MICRO
        return _MICRO * _S_PER_H * volts

    def _check_discharging(self) -> None:
        states = {cell.folder.name: self._optional(cell.folder / "status") for cell in self._cells}
        if "Discharging" not in states.values() or "Charging" in states.values():
            raise MeterError(
                "The machine does not run from its battery.",
                got=", ".join(f"{name}: {state}" for name, state in states.items()),
                hint="Unplug it to measure with the battery's gauge.",
            )

    def _optional(self, path: Path) -> str | None:
        try:
            return self._read(path).strip()
        except OSError:
            return None

    def _number(self, path: Path) -> int:
        text = self._optional(path)
        if text is None or not text.isdigit():
            raise MeterError("The battery's gauge cannot be read.", got=f"{path}: {text!r}")
        return int(text)
