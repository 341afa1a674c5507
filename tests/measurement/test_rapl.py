"""The processor's counters, replayed from recorded values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policypress.measurement.costs.energy_meters import Meter
from policypress.measurement.costs.rapl import Rapl
from policypress_runtime.errors import MeterError

RANGE_UJ = 262_143_328_850  # as an Intel server shows it
Values = dict[str, list[int | type[OSError]]]


def replay(root: Path, names: dict[str, str], energies: Values, range_uj: int = RANGE_UJ) -> Callable[[Path], str]:
    """Zones below ``root`` whose ``energy_uj`` shows one value after another, the last one for ever."""
    for zone in names:
        (root / zone).mkdir()
    left = {zone: list(values) for zone, values in energies.items()}

    def read(path: Path) -> str:
        zone = path.parent.name
        if path.name == "name":
            return names[zone] + "\n"
        if path.name == "max_energy_range_uj":
            return f"{range_uj}\n"
        value = left[zone].pop(0) if len(left[zone]) > 1 else left[zone][0]
        if isinstance(value, int):
            return f"{value}\n"
        raise value(f"{path}: replayed")

    return read


ONE = {"intel-rapl:0": "package-0"}


def test_readings_are_joules_since_the_meter_was_opened(tmp_path: Path) -> None:
    meter = Rapl(tmp_path, replay(tmp_path, ONE, {"intel-rapl:0": [5_000_000, 5_000_000, 5_061_035, 8_500_000]}))
    assert isinstance(meter, Meter)
    assert [meter.energy_j() for _ in range(3)] == pytest.approx([0.0, 0.061035, 3.5])


def test_a_counter_that_wraps_around_goes_on(tmp_path: Path) -> None:
    recorded: list[int | type[OSError]] = [RANGE_UJ - 1_000_000, RANGE_UJ - 400_000, 600_000, 1_600_000]
    meter = Rapl(tmp_path, replay(tmp_path, ONE, {"intel-rapl:0": recorded}))
    assert [meter.energy_j() for _ in range(3)] == pytest.approx([0.6, 1.6, 2.6])


@given(st.lists(st.integers(0, 999), min_size=1, max_size=30), st.integers(0, 999))
def test_any_number_of_wrap_arounds_adds_up(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], start: int
) -> None:
    root = tmp_path_factory.mktemp("zones")
    shown: list[int | type[OSError]] = [start]
    for step in steps:
        shown.append((int(shown[-1]) + step) % 1000)  # type: ignore[arg-type]
    meter = Rapl(root, replay(root, ONE, {"intel-rapl:0": shown}, range_uj=1000))
    for _ in steps:
        total = meter.energy_j()
    assert total == pytest.approx(sum(steps) * 1e-6)


def test_packages_and_memory_are_summed_and_parts_left_out(tmp_path: Path) -> None:
    names = {
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:0:1": "dram",
        "intel-rapl:1": "package-1",
        "intel-rapl:2": "psys",
        "intel-rapl-mmio:0": "package-0",
    }
    meter = Rapl(tmp_path, replay(tmp_path, names, {zone: [0, 1_000_000] for zone in names}))
    assert meter.energy_j() == pytest.approx(3.0)
    assert meter.described() == {"zones": ["intel-rapl:0 package-0", "intel-rapl:0:1 dram", "intel-rapl:1 package-1"]}


def test_packages_wrap_around_on_their_own(tmp_path: Path) -> None:
    names = {"intel-rapl:0": "package-0", "intel-rapl:1": "package-1"}
    energies: Values = {"intel-rapl:0": [900, 100], "intel-rapl:1": [100, 300]}
    meter = Rapl(tmp_path, replay(tmp_path, names, energies, range_uj=1000))
    assert meter.energy_j() == pytest.approx(400e-6)


def test_a_counter_that_stands_still_reads_nothing(tmp_path: Path) -> None:
    meter = Rapl(tmp_path, replay(tmp_path, ONE, {"intel-rapl:0": [7_000_000]}))
    assert [meter.energy_j() for _ in range(3)] == [0.0, 0.0, 0.0]


def test_permission_denied_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MeterError, match=r"root only(.|\n)*permission denied(.|\n)*chmod a\+r"):
        Rapl(tmp_path, replay(tmp_path, ONE, {"intel-rapl:0": [PermissionError]}))


@pytest.mark.parametrize("gone", [FileNotFoundError, PermissionError, OSError])
def test_a_counter_that_vanishes_is_an_error(tmp_path: Path, gone: type[OSError]) -> None:
    meter = Rapl(tmp_path, replay(tmp_path, ONE, {"intel-rapl:0": [1, 2, gone]}))
    assert meter.energy_j() == pytest.approx(1e-6)
    with pytest.raises(MeterError, match=r"replayed|denied"):
        meter.energy_j()


def test_wrap_around_at_an_unknown_value_is_an_error(tmp_path: Path) -> None:
    meter = Rapl(tmp_path, replay(tmp_path, ONE, {"intel-rapl:0": [500, 400]}, range_uj=0))
    with pytest.raises(MeterError, match="unknown value"):
        meter.energy_j()


def test_no_zone_and_no_package_are_told(tmp_path: Path) -> None:
    with pytest.raises(MeterError, match="no package zone"):
        Rapl(tmp_path / "absent")
    with pytest.raises(MeterError, match="no package zone"):
        Rapl(tmp_path, replay(tmp_path, {"intel-rapl:0": "psys"}, {"intel-rapl:0": [0]}))


def test_files_of_a_real_folder_are_read(tmp_path: Path) -> None:
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    for name, content in (("name", "package-0\n"), ("max_energy_range_uj", "1000000\n"), ("energy_uj", "10\n")):
        (zone / name).write_text(content)
    meter = Rapl(tmp_path)
    (zone / "energy_uj").write_text("250010\n")
    assert meter.energy_j() == pytest.approx(0.25)
    (zone / "energy_uj").write_text("broken\n")
    with pytest.raises(MeterError, match="no number"):
        meter.energy_j()
