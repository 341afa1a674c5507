"""A battery's gauge, replayed from recorded values."""

from __future__ import annotations

from pathlib import Path

import pytest

from policypress.measurement.costs.battery import Battery
from policypress.measurement.costs.energy_meters import Meter
from policypress_runtime.errors import MeterError

# As a laptop with an energy gauge shows it.
ENERGY = {
    "type": "Battery",
    "status": "Discharging",
    "energy_now": "43210000",
    "energy_full": "50060000",
    "energy_full_design": "52060000",
    "voltage_now": "11871000",
}
CHARGE = {
    "type": "Battery",
    "status": "Discharging",
    "charge_now": "3000000",
    "charge_full": "4500000",
    "charge_full_design": "5000000",
    "voltage_now": "12000000",
}
MAINS = {"type": "Mains", "online": "0"}
MOUSE = {"type": "Battery", "scope": "Device", "status": "Discharging", "energy_now": "1"}


def supply(root: Path, name: str, values: dict[str, str]) -> Path:
    folder = root / name
    folder.mkdir(exist_ok=True)
    for file, value in values.items():
        (folder / file).write_text(value + "\n")
    return folder


def test_energy_gauges_count_what_was_given(tmp_path: Path) -> None:
    supply(tmp_path, "AC", MAINS)
    supply(tmp_path, "hid-mouse", MOUSE)
    folder = supply(tmp_path, "BAT0", ENERGY)
    meter = Battery(tmp_path)
    assert isinstance(meter, Meter)
    assert meter.resolution_j == pytest.approx(36.0), "a step of 10 mWh"
    assert meter.energy_j() == 0.0
    (folder / "energy_now").write_text("43110000\n")
    assert meter.energy_j() == pytest.approx(360.0)
    assert meter.described() == {"batteries": ["BAT0 energy_now"]}


def test_charge_gauges_count_at_the_voltage_of_the_moment(tmp_path: Path) -> None:
    folder = supply(tmp_path, "BAT1", CHARGE)
    meter = Battery(tmp_path)
    assert meter.resolution_j == pytest.approx(0.5 * 3600 * 12), "all values are multiples of 0.5 Ah"
    (folder / "voltage_now").write_text("10000000\n")
    assert meter.energy_j() == 0.0, "the voltage alone gives no energy"
    (folder / "charge_now").write_text("2500000\n")
    assert meter.energy_j() == pytest.approx(0.5 * 3600 * 10)


def test_several_batteries_are_summed(tmp_path: Path) -> None:
    supply(tmp_path, "BAT0", {**ENERGY, "status": "Not charging"})
    second = supply(tmp_path, "BAT1", ENERGY)
    meter = Battery(tmp_path)
    (second / "energy_now").write_text("43200000\n")
    assert meter.energy_j() == pytest.approx(36.0)


@pytest.mark.parametrize("status", ["Charging", "Full", "Not charging", "Unknown"])
def test_on_mains_there_is_nothing_to_count(tmp_path: Path, status: str) -> None:
    folder = supply(tmp_path, "BAT0", ENERGY)
    meter = Battery(tmp_path)
    (folder / "status").write_text(status + "\n")
    with pytest.raises(MeterError, match=f"BAT0: {status}"):
        meter.energy_j()
    with pytest.raises(MeterError, match="does not run from its battery"):
        Battery(tmp_path)


def test_a_battery_that_vanishes_is_an_error(tmp_path: Path) -> None:
    folder = supply(tmp_path, "BAT0", ENERGY)
    meter = Battery(tmp_path)
    (folder / "energy_now").unlink()
    with pytest.raises(MeterError, match="energy_now: None"):
        meter.energy_j()


def test_machines_without_a_usable_battery(tmp_path: Path) -> None:
    with pytest.raises(MeterError, match="no battery"):
        Battery(tmp_path / "absent")
    supply(tmp_path, "hid-mouse", MOUSE)
    with pytest.raises(MeterError, match="no battery"):
        Battery(tmp_path)
    supply(tmp_path, "BAT0", {"type": "Battery", "status": "Discharging"})
    with pytest.raises(MeterError, match="neither energy nor charge"):
        Battery(tmp_path)
