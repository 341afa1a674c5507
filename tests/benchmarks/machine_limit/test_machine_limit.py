"""The yardstick: its arithmetic, that it builds without a warning, and that what it measures is there."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "benchmarks" / "machine_limit"
sys.path.insert(0, str(FOLDER))

from machine_limit import LEVELS, MachineLimit, Meter  # noqa: E402


def test_the_limit_is_the_larger_of_reading_and_multiplying() -> None:
    limit = MachineLimit("some", 1000, 1e9, int8_macs_per_s=1e9, fp32_macs_per_s=1e8, tile_macs_per_s=1e10)
    assert limit.limit_s(500) == pytest.approx(1e-6)
    assert limit.limit_s(4000) == pytest.approx(4e-6)
    assert limit.limit_s(500, "fp32") == pytest.approx(5e-6)
    assert limit.limit_s(40_000, of_many_rows=40_000) == pytest.approx(4e-6)
    assert limit.limit_s(42_000, of_many_rows=40_000) == pytest.approx(6e-6)
    assert limit.limit_s(500, "fp32", of_many_rows=500) == pytest.approx(5e-6)
    with pytest.raises(KeyError):
        limit.limit_s(1, "bf16")


def test_levels_grow() -> None:
    sizes = [size for _, size in LEVELS]
    assert sizes == sorted(sizes)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="measured on x86-64 and aarch64 only")
def test_the_widest_unit_and_narrower_ones_measure_something() -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    meter = Meter()
    limit = meter.measure(70_001, seconds=0.002)
    assert (limit.unit, limit.packed_bytes) == (meter.unit, 70_001)
    # Nothing is said of which is the faster: on a busy machine either may be interrupted.
    assert min(limit.read_bytes_per_s, limit.int8_macs_per_s, limit.fp32_macs_per_s, limit.tile_macs_per_s) > 1e6
    assert meter.macs_per_s("int8", unit="no such unit", seconds=0.001) == 0


@pytest.mark.parametrize("compiler", ["gcc", "clang", "aarch64-linux-gnu-gcc"])
def test_no_warning(tmp_path: Path, compiler: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    command = [compiler, "-std=gnu99", "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC"]
    command += [str(FOLDER / "limit.c"), "-o", str(tmp_path / "limit.so")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
