from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from policypress.measurement import diagnosis
from policypress.measurement.costs.energy_meters import Meter
from policypress.measurement.diagnosis import EXTRAS, Finding, diagnose
from policypress_runtime.errors import MeterError

PACKAGES = Path(__file__).resolve().parents[2] / "packages"


class Working:
    name = "rapl"
    covers = "processor"
    resolution_j = 6.1e-5
    update_s = 1e-3

    def energy_j(self) -> float:
        return 0.0

    def described(self) -> dict[str, object]:
        return {"zones": ["intel-rapl:0 package-0"]}


def denied() -> Meter:
    raise MeterError("The counters may be read by root only.", got="permission denied", hint="sudo chmod")


def by_name(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def tool(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_this_machine_is_described_in_json() -> None:
    found = json.loads(json.dumps(diagnose().to_json()))
    assert set(found) == {
        "machine",
        "quantities",
        "meters",
        "compilers",
        "runtimes",
        "graphics",
        "extras",
        "advice",
    }
    assert {item["name"] for item in found["meters"]} == {"rapl", "nvml", "battery"}
    findings = [item for name, items in found.items() if name not in ("machine", "advice") for item in items]
    assert all(item["detail"] and item["purpose"] for item in findings)
    assert found["runtimes"][0]["available"]


def test_a_meter_that_opens_makes_energy_measurable() -> None:
    found = diagnose({"rapl": Working})
    assert by_name(found.meters)["rapl"].detail == "intel-rapl:0 package-0; steps of 6.1e-05 J"
    energy = by_name(found.quantities)["energy"]
    assert (energy.available, energy.detail, energy.advice) == (True, "measured by rapl", None)


def test_a_meter_that_does_not_says_why_and_what_to_do() -> None:
    found = diagnose({"rapl": denied})
    assert by_name(found.meters)["rapl"].detail == "The counters may be read by root only: permission denied"
    assert "sudo chmod" in found.advice()
    energy = by_name(found.quantities)["energy"]
    assert not energy.available
    assert "modelled" in energy.detail
    assert any("--watts-per-core" in line for line in found.advice())


def test_the_graphics_meter_does_not_measure_policies_on_the_processor() -> None:
    assert not by_name(diagnose({"nvml": Working}).quantities)["energy"].available


@pytest.mark.parametrize("there", [True, False])
def test_the_graphics_meter_is_advised_where_there_are_graphics(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "gpus" / "0000:01:00.0"
    folder.mkdir(parents=True)
    if there:
        (folder / "information").write_text("Model: \t\t NVIDIA Fast 1\nIRQ: 7\n")
    monkeypatch.setattr(diagnosis, "_NVIDIA", tmp_path / "gpus")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = diagnose({"nvml": denied})
    assert [item.available for item in found.graphics] == [there]
    assert ("sudo chmod" in found.advice()) == there
    assert not there or found.graphics[0].detail == "NVIDIA Fast 1"


def test_compilers_are_those_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    none = diagnose({})
    assert not any(item.available for item in none.compilers)
    assert any("Install a C compiler" in line for line in none.advice())
    tool(tmp_path, "clang", "echo 'clang version 99'; echo more")
    tool(tmp_path, "gcc", "exit 3")
    tool(tmp_path, "nvidia-smi", "echo 'NVIDIA Slow 2'")
    found = diagnose({})
    compilers = by_name(found.compilers)
    assert (compilers["clang"].available, compilers["clang"].detail) == (True, "clang version 99")
    assert not compilers["gcc"].available
    assert "does not run" in compilers["gcc"].detail
    assert not any("C compiler" in line for line in found.advice())


def test_a_busy_machine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis.os, "getloadavg", lambda: (64.0, 1.0, 1.0))
    busy = by_name(diagnose({}).quantities)["latency"]
    assert (busy.available, "scatter" in busy.detail) == (True, True)
    monkeypatch.setattr(diagnosis.os, "getloadavg", lambda: (0.0, 1.0, 1.0))
    assert by_name(diagnose({}).quantities)["latency"].advice is None


def test_optional_packages_are_those_of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    stated = [
        tomllib.loads((PACKAGES / name / "pyproject.toml").read_text())["project"]
        for name in ("policypress", "policypress-runtime")
    ]
    for distribution, (extra, _, _) in EXTRAS.items():
        assert extra in stated[0]["optional-dependencies"]
        lines = [line for project in stated for line in project["optional-dependencies"].get(extra, ())]
        assert any(line.startswith(distribution) for line in lines)
    monkeypatch.setattr(diagnosis, "_version", lambda name: None)
    advice = diagnose({}).advice()
    assert any("policypress[hub]" in line for line in advice)
    assert not any("policypress[dev]" in line for line in advice)


CHILD = """
import sys
from policypress.measurement.diagnosis import diagnose
diagnose()
heavy = {"torch", "onnxruntime", "stable_baselines3", "mujoco", "gymnasium"} & set(sys.modules)
assert not heavy, heavy
"""


def test_nothing_heavy_is_imported() -> None:
    result = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_native_runtime_names_its_compiler_kernels_and_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("policypress.measurement.diagnosis.kernels_here", lambda compiler: "avx9")
    (found,) = [f for f in diagnose({}).runtimes if f.name == "native"]
    if found.available:
        assert "avx9 kernels" in found.detail
        assert str(tmp_path) in found.detail
    monkeypatch.setenv("CC", "no-such-compiler")
    (found,) = [f for f in diagnose({}).runtimes if f.name == "native"]
    assert not found.available
    assert "no C compiler" in found.detail
    assert found.advice is not None
    assert "ONNX Runtime" in found.advice
