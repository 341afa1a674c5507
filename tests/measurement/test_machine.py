from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from policypress.measurement import machine


def test_the_fingerprint_is_json_and_says_what_matters() -> None:
    found = json.loads(json.dumps(machine.fingerprint()))
    assert found["memory_bytes"] > 2**28
    assert found["cores_logical"] >= 1
    assert found["cpu"]
    assert found["python"].split()[1] == ".".join(map(str, sys.version_info[:3]))
    assert {"numpy", "onnxruntime", "gymnasium"} <= set(found["packages"])


def test_it_is_the_same_each_time() -> None:
    assert machine.fingerprint() == machine.fingerprint()


CPUINFO = """processor\t: 0
model name\t: Some Processor 3000
flags\t\t: fpu avx2 avx512_vnni hypervisor

processor\t: 1
model name\t: Another
"""


def test_linux_names_the_processor_and_its_instructions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine.platform, "system", lambda: "Linux")
    found = machine.fingerprint()
    assert found["cpu"] == "Some Processor 3000"
    assert found["cpu_flags"] == ["avx2", "avx512_vnni"]
    assert found["virtual_machine"] is True


def test_systems_without_cpuinfo_have_an_answer_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "absent")
    found = machine.fingerprint()
    assert found["cpu_flags"] == []
    assert isinstance(found["cpu"], str)
    assert found["cpu"]


def test_packages_that_are_absent_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_PACKAGES", ("numpy", "no-such-package-here"))
    assert list(machine.fingerprint()["packages"]) == ["numpy"]


CHILD = """
import sys
import policypress.measurement.machine as machine, policypress.measurement.returns, policypress.measurement.statistics
machine.fingerprint()
heavy = {"torch", "scipy", "onnxruntime", "stable_baselines3", "mujoco"} & set(sys.modules)
assert not heavy, heavy
"""


def test_nothing_heavy_is_imported() -> None:
    result = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
