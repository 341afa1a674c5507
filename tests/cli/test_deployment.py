"""``compress`` leaves what is deployed: the winner as ONNX and as C, and the lines that deploy it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import command_line
from policypress_runtime.toolchain.compiler import compiler_command


def compressed(own_agents: Path, folder: Path, recipe: str) -> subprocess.CompletedProcess[str]:
    agent = own_agents / "dqn-CartPole-v1.zip"
    return command_line.run(
        "compress", agent, "--recipe", recipe, "--episodes", "4", "--no-costs", "-o", "out dir", cwd=folder
    )


@pytest.mark.skipif(compiler_command() is None, reason="there is no C compiler")
def test_the_winner_lies_there_as_onnx_and_as_c_and_the_lines_deploy_it(own_agents: Path, tmp_path: Path) -> None:
    done = compressed(own_agents, tmp_path, "equalize > int8")
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out dir"
    assert (out / "policy.onnx").read_bytes() == (out / "equalize-int8.onnx").read_bytes()
    lines = [line.removeprefix("deploy: ") for line in done.stdout.splitlines() if line.startswith("deploy: ")]
    python, compiling, exporting = lines
    code = f"import policypress_runtime, numpy as np; {python}; print(int(policy.act(np.zeros(4, np.float32))))"
    told = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert told.strip() in ("0", "1")
    subprocess.run(["sh", "-c", compiling], cwd=tmp_path, check=True)
    assert (tmp_path / "policy.o").is_file()
    assert exporting.startswith("policypress export 'out dir/policy.onnx' -o ")
    page = (out / "report.html").read_text()
    assert "Deploy it" in page
    assert "cc -O2 -c policy.c" in page


def test_without_a_winner_nothing_of_an_earlier_one_stays(own_agents: Path, tmp_path: Path) -> None:
    out = tmp_path / "out dir"
    out.mkdir()
    (out / "policy.c").write_text("/* A policy written by policypress */")
    done = compressed(own_agents, tmp_path, "prune(l1, 0.97)")
    assert done.returncode == 0, done.stderr
    assert "deploy: " not in done.stdout
    assert not (out / "policy.c").exists()
    assert "Deploy it" not in (out / "report.html").read_text()
