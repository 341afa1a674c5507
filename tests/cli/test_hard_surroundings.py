"""Every command where the compiler, the home folder, the terminal or a file's name is no good: it works, or exits 2."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from command_lines import run_lines

STUDY = """
policypress-study: 1
name: small
agents:
  - files: agent.zip
recipes: int8
evaluation: {episodes: 2, runtimes: auto}
"""
COMMANDS = [
    ["inspect", "agent.zip"],
    ["export", "agent.zip", "-o", "o.onnx"],
    ["export", "agent.zip", "-o", "policy.c"],
    ["export", "agent.zip", "-o", "module.so"],
    ["evaluate", "agent.zip", "--episodes", "1"],
    ["evaluate", "agent.zip", "--episodes", "1", "--runtime", "native"],
    ["bench", "agent.zip", "--samples", "20"],
    ["compress", "agent.zip", "--recipe", "int8", "--episodes", "2", "--jobs", "1", "--no-costs", "-o", "out"],
    ["train", "dqn", "CartPole-v1", "--steps", "50", "-o", "trained.zip"],
    ["study", "run", "study.yml", "--jobs", "1"],
    ["doctor"],
]
ASCII = {"LC_ALL": "C", "LANG": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
SURROUNDINGS = {
    "a compiler that fails": {"CC": "/bin/false"},
    "a compiler's option that is none": {"CC": "cc -nonexistent"},
    "a quotation mark in CC": {"CC": "cc '"},
    "a quotation mark in CFLAGS": {"CFLAGS": "-O1 '"},
    "a compiler that is not there": {"CC": "/nonexistent/cc"},
    "no home": {"HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none/cache"},
    "an ASCII terminal": ASCII,
}


@pytest.mark.slow
@pytest.mark.parametrize("variables", SURROUNDINGS.values(), ids=SURROUNDINGS)
def test_a_command_works_or_says_what_to_do(variables: dict[str, str], tmp_path: Path, own_agents: Path) -> None:
    shutil.copy(own_agents / "dqn-CartPole-v1.zip", tmp_path / "agent.zip")
    (tmp_path / "study.yml").write_text(STUDY)
    for words, done in zip(
        COMMANDS, run_lines(COMMANDS, tmp_path, {"POLICYPRESS_RUNTIME": "auto", **variables}), strict=True
    ):
        assert done.code in (0, 2), (words, done)
        assert "internal error" not in done.told, (words, done)
        assert "Traceback" not in done.told, (words, done)
        assert done.code == 0 or "what to do" in done.told, (words, done)
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.slow
def test_a_file_whose_name_is_no_text(tmp_path: Path, own_agents: Path) -> None:
    name = os.fsdecode(b"caf\xe9\xff")
    shutil.copy(own_agents / "dqn-CartPole-v1.zip", tmp_path / f"{name}.zip")
    commands = [
        [word.replace("agent.zip", f"{name}.zip").replace("o.onnx", f"{name}.onnx") for word in words]
        for words in COMMANDS
        if "agent.zip" in words
    ]
    for variables in ({}, ASCII):
        for words, done in zip(commands, run_lines(commands, tmp_path, variables), strict=True):
            assert done.code in (0, 2), (words, done)
            assert "internal error" not in done.told, (words, done)
        shutil.rmtree(tmp_path / "out")
