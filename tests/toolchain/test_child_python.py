from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from policypress_runtime.toolchain import child_python
from policypress_runtime.toolchain.child_python import (
    bare_python_command,
    import_path,
    leave_current_folder,
    python_command,
    python_environment,
)

SAY_PATH = "import json; print(json.dumps([sys.path, sys.argv[1:]]))"
NAMES = ("json", "numpy", "typing", "encodings", "site", "sitecustomize", "usercustomize", "threading", "re")


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder; ``RAN`` appears in it when a module of it is imported."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'RAN')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def unique_path() -> list[str]:
    """The import path without the current folder and without repetitions (other tests may have added some)."""
    return [entry for entry in dict.fromkeys(sys.path) if entry]


def said(command: list[str]) -> tuple[list[str], list[str]]:
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=python_environment())
    path, arguments = json.loads(done.stdout)
    return path, arguments


def test_a_child_has_the_import_path_of_its_parent_and_its_arguments(
    hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*unique_path(), str(hostile / "a b"), str(hostile)])
    path, arguments = said(python_command(SAY_PATH, ["-x", "a b", ""]))
    assert path == import_path()
    assert path[: len(sys.path)] == sys.path
    assert arguments == ["-x", "a b", ""]
    assert not (hostile / "RAN").exists()


@pytest.mark.parametrize("place", [0, 1, -1])
def test_the_current_folder_comes_last_and_hides_nothing(
    hostile: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    entries = unique_path()
    entries.insert(place if place >= 0 else len(entries), "")
    monkeypatch.setattr(sys, "path", entries)
    path, _ = said(python_command("import numpy\n" + SAY_PATH))
    assert path.index(str(hostile)) >= len(entries) - 1
    assert not (hostile / "RAN").exists()


@pytest.mark.parametrize("value", ["{here}:", ":{elsewhere}", ".", "sub:..:", "{elsewhere}::"])
def test_the_import_path_variable_is_no_way_to_the_current_folder(
    hostile: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    elsewhere = str(hostile.parent)
    text = value.format(here=elsewhere, elsewhere=elsewhere).replace(":", os.pathsep)
    monkeypatch.setenv("PYTHONPATH", text)
    kept = python_environment().get("PYTHONPATH")
    assert kept == (elsewhere if "{" in value else None)
    subprocess.run(bare_python_command("import json, typing"), check=True, env=python_environment())
    assert not (hostile / "RAN").exists()


def test_the_grandchildren_are_started_safely_too(hostile: Path) -> None:
    program = "import subprocess; subprocess.run([sys.executable, '-c', 'import json, typing'], check=True)"
    subprocess.run(python_command(program), check=True, env=python_environment({"A": "b"}))
    assert python_environment({"A": "b"})["A"] == "b"
    assert not (hostile / "RAN").exists()


def test_the_package_is_found_where_the_current_folder_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    root = str(Path(child_python.__file__).parents[2])
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != root])
    program = "import policypress_runtime.errors; print(policypress_runtime.errors.__file__)"
    done = subprocess.run(python_command(program), capture_output=True, text=True, check=True, env=python_environment())
    assert done.stdout.strip() == str(Path(root) / "policypress_runtime" / "errors.py")


def test_a_removed_current_folder_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr(sys, "path", ["", "here", *unique_path()])
    assert all(map(os.path.isabs, import_path()))
    leave_current_folder()
    assert "" not in sys.path[:1]


@pytest.mark.parametrize("first", ["", "{here}"])
def test_the_current_folder_leaves_the_front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [first.format(here=tmp_path), "/somewhere", str(tmp_path)])
    leave_current_folder()
    assert sys.path == ["/somewhere", str(tmp_path)]
    leave_current_folder()
    assert sys.path == ["/somewhere", str(tmp_path)]
