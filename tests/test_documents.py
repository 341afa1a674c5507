"""The Python of the documents runs, on the files that the commands beside it write."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import command_line

ROOT = Path(__file__).resolve().parents[1]


def python_blocks(document: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)


def run(arguments: list[str], folder: Path) -> str:
    result = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout


def export(folder: Path, name: str) -> None:
    agent = ROOT / "examples" / "agents" / "sac-HalfCheetah-v4.zip"
    command = ["export", str(agent), "--recipe", "equalize > int8", "-o", name]
    done = command_line.run(*command, cwd=folder)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with policy.onnx and the module policy.so."""
    folder = tmp_path_factory.mktemp("exported")
    export(folder, "policy.onnx")
    export(folder, "policy.so")
    return folder


def test_runtimes_loads_an_artifact(exported: Path) -> None:
    block = next(text for text in python_blocks("docs/runtimes.md") if "load_artifact" in text)
    assert run([sys.executable, "-c", block + "print(action.shape)"], exported) == "(6,)\n"


def test_runtimes_imports_the_exported_module(exported: Path) -> None:
    block = next(text for text in python_blocks("docs/runtimes.md") if "import policy\n" in text)
    printed = run([sys.executable, "-c", block + "import sys; print('numpy' in sys.modules)"], exported)
    action, numpy_is_there = printed.splitlines()
    assert len(action.split(",")) == 6
    assert numpy_is_there == "False"


def test_readme_acts(exported: Path) -> None:
    block = next(text for text in python_blocks("README.md") if "load_artifact" in text)
    start = "import numpy as np\nobservation = np.zeros(17)\n"
    assert run([sys.executable, "-c", start + block + "print(action.shape)"], exported) == "(6,)\n"


def test_the_hashes_are_of_the_pinned_versions() -> None:
    """``constraints-hashes.txt`` installs what was checked, every file by its hash, from no index of its own."""
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    text = (ROOT / "constraints-hashes.txt").read_text()
    entries = re.findall(r"^([\w.-]+)==(\S+)(.*\n(?:    .*\n)*)", text, re.MULTILINE)
    assert {"torch", "numpy", "onnx", "onnxruntime", "stable-baselines3"} <= {name for name, _, _ in entries}
    assert [name for name, version, _ in entries if pinned.get(name, version) != version] == []
    assert [name for name, _, rest in entries if "--hash=sha256:" not in rest] == []
    assert "://" not in text
