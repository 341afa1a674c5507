from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from policypress.cli.characters import make_output_safe

OURS = "\u2026 \u2013 \u2192 \u00b5s \u00d7 \u00b7"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_every_text_can_be_written(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bytes_written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bytes_written, encoding=encoding))
    make_output_safe()
    print(OURS, "b\u00e4r", "name\udcff", "\U0001f600", "\ud800", flush=True)
    said = bytes_written.getvalue().decode(encoding)
    if encoding == "ascii":
        assert said == "... - -> us x * b\\xe4r name\\xff \\U0001f600 \\ud800\n"
    assert "name\\xff" in said
    assert ("b\u00e4r" in said) == (encoding != "ascii")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "utf-8:strict"])
@pytest.mark.parametrize(
    "command",
    [
        ["inspect", "{agent}"],
        ["bench", "{agent}", "--samples", "20", "--runtime", "onnxruntime"],
        ["evaluate", "{agent}", "--episodes", "1", "--runtime", "onnxruntime"],
        ["compress", "{agent}", "--recipe", "int8", "--episodes", "1", "--no-costs", "--jobs", "1", "-o", "{folder}"],
        ["inspect", "{folder}"],
    ],
)
def test_any_terminal_and_any_name(command: list[str], encoding: str, tmp_path: Path, own_agents: Path) -> None:
    agent = os.fsdecode(bytes(tmp_path) + b"/a\xff\xe9.zip")
    shutil.copy(own_agents / "dqn-CartPole-v1.zip", agent)
    folder = os.fsdecode(bytes(tmp_path) + b"/o\xfe")
    given = [word.format(agent=agent, folder=folder) for word in command]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "policypress", *given],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert done.returncode == (2 if given[1] == folder else 0), done.stderr
    assert b"Traceback" not in done.stderr
    assert b"internal error" not in done.stderr
