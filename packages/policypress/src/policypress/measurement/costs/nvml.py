"""Energy of NVIDIA's graphics processors, from the counter that their driver keeps (NVML)."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType
from typing import Any, Literal

from policypress_runtime.errors import MeterError

EXTRA = "pip install 'policypress[nvml]'  (energy of NVIDIA graphics processors)"
_MILLI = 1e-3


class Nvml:
    """Sum over all graphics processors of the machine that count their energy.

    The driver refreshes the counter some ten times a second: a short window may show nothing at all.

    Args:
        library: the module ``pynvml``; imported, where it is installed, when not given.

    Raises:
        MeterError: the module, the driver or a processor that counts is missing.
    """

    name = "nvml"
    covers: Literal["graphics"] = "graphics"
    resolution_j = _MILLI
    update_s = 0.1

    def __init__(self, library: Any = None) -> None:
        self._nvml: Any = imported() if library is None else library
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            raise MeterError("NVIDIA's driver does not answer.", got=str(error)) from error
        try:
            handles = [self._nvml.nvmlDeviceGetHandleByIndex(i) for i in range(self._nvml.nvmlDeviceGetCount())]
        except self._nvml.NVMLError as error:
            self.close()
            raise MeterError("NVIDIA's graphics processors cannot be listed.", got=str(error)) from error
        self._last_mj: dict[int, int] = {}
        self._handles: dict[int, Any] = {}
        reasons: list[str] = []
        for index, handle in enumerate(handles):
            try:
                self._last_mj[index] = int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
                self._handles[index] = handle
            except self._nvml.NVMLError as error:
                reasons.append(str(error))
        if not self._handles:
            self.close()
            found = f"{len(handles)} found" + "".join(f"; {reason}" for reason in dict.fromkeys(reasons))
            raise MeterError("No NVIDIA graphics processor here counts its energy.", got=found)
        self._total_mj = 0

    def energy_j(self) -> float:
        """Joules since the meter was opened.

        Raises:
            MeterError: a processor or its driver is gone, or the counter started anew.
        """
        for index, handle in self._handles.items():
            try:
                now_mj = int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
            except self._nvml.NVMLError as error:
                raise MeterError("The energy counter of a graphics processor is gone.", got=str(error)) from error
            if now_mj < self._last_mj[index]:
                raise MeterError("The energy counter of a graphics processor started anew.", got=f"{now_mj} mJ")
            self._total_mj += now_mj - self._last_mj[index]
            self._last_mj[index] = now_mj
        return self._total_mj * _MILLI

    def described(self) -> dict[str, Any]:
        """Indices of the processors that are summed."""
        return {"devices": sorted(self._handles)}

    def close(self) -> None:
        """Let the driver go."""
        self._nvml.nvmlShutdown()


def imported() -> ModuleType:
    """The module ``pynvml``.

    Raises:
        MeterError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            # An older package of the same module name announces its end whenever it is imported.
            warnings.simplefilter("ignore", FutureWarning)
            return importlib.import_module("pynvml")
    except ImportError as error:
        raise MeterError(
            "Reading the energy of NVIDIA's graphics processors needs pynvml.", got="not installed", hint=EXTRA
        ) from error
