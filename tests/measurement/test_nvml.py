"""The graphics processor's counter, replayed by a module that looks like ``pynvml``."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from policypress.measurement.costs.energy_meters import Meter
from policypress.measurement.costs.nvml import Nvml, imported
from policypress_runtime.errors import MeterError


class Recorded:
    """Devices that show one value (mJ) after another, the last one for ever; an exception is raised."""

    class NVMLError(Exception):
        pass

    def __init__(self, *devices: list[Any], driver: bool = True) -> None:
        self.devices = [list(values) for values in devices]
        self.driver = driver
        self.open = 0

    def nvmlInit(self) -> None:
        if not self.driver:
            raise self.NVMLError("Driver Not Loaded")
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> list[Any]:
        return self.devices[index]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: list[Any]) -> int:
        value = handle.pop(0) if len(handle) > 1 else handle[0]
        if isinstance(value, str):
            raise self.NVMLError(value)
        return int(value)


def test_readings_are_joules_since_the_meter_was_opened() -> None:
    # A refresh came between the third and the fourth reading; the windows before it show nothing.
    meter = Nvml(Recorded([81_234_500, 81_234_500, 81_234_500, 81_241_250]))
    assert isinstance(meter, Meter)
    assert [meter.energy_j() for _ in range(3)] == pytest.approx([0.0, 0.0, 6.75])
    assert (meter.resolution_j, meter.covers) == (1e-3, "graphics")


def test_devices_are_summed_and_those_that_do_not_count_left_out() -> None:
    meter = Nvml(Recorded([100, 300], ["Not Supported"], [1000, 2000]))
    assert meter.energy_j() == pytest.approx(1.2)
    assert meter.described() == {"devices": [0, 2]}


def test_a_device_that_vanishes_or_starts_anew_is_an_error() -> None:
    meter = Nvml(Recorded([100, 200, "GPU is lost"]))
    assert meter.energy_j() == pytest.approx(0.1)
    with pytest.raises(MeterError, match="GPU is lost"):
        meter.energy_j()
    with pytest.raises(MeterError, match="started anew"):
        Nvml(Recorded([500, 20])).energy_j()


def test_what_is_missing_is_told_and_the_driver_let_go() -> None:
    with pytest.raises(MeterError, match="Driver Not Loaded"):
        Nvml(Recorded(driver=False))
    old = Recorded(["Not Supported"], ["Not Supported"])
    with pytest.raises(MeterError, match="2 found; Not Supported"):
        Nvml(old)
    assert old.open == 0
    with pytest.raises(MeterError, match="0 found"):
        Nvml(Recorded())
    working = Recorded([1])
    Nvml(working).close()
    assert working.open == 0


def test_the_module_is_imported_only_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(MeterError, match=r"policypress\[nvml\]"):
        Nvml()
    module = ModuleType("pynvml")
    monkeypatch.setitem(sys.modules, "pynvml", module)
    assert imported() is module
