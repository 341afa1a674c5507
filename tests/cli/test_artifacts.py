"""An artifact is an input like an agent: it is described, and written as C, as a module and as a copy, as it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import command_line
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime

AGENT = "dqn-CartPole-v1.zip"
RECIPE = "equalize > int8"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory, own_agents: Path) -> Path:
    path = tmp_path_factory.mktemp("artifact") / "small.onnx"
    done = command_line.run("export", own_agents / AGENT, "--recipe", RECIPE, "-o", path)
    assert done.returncode == 0, done.stderr
    return path


def test_a_copy_has_the_same_bytes(artifact: Path, tmp_path: Path) -> None:
    done = command_line.run("export", artifact, "-o", tmp_path / "copy.onnx", "--json")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "copy.onnx").read_bytes() == artifact.read_bytes()
    assert (tmp_path / "copy.onnx.json").read_bytes() == artifact.with_name("small.onnx.json").read_bytes()
    told = json.loads(done.stdout)
    assert (told["recipe"], told["file_bytes"]) == (RECIPE, artifact.stat().st_size)


@pytest.mark.parametrize("where", [[], ["--observations", "seen.npz"]])
def test_the_c_is_that_of_the_agent(artifact: Path, own_agents: Path, tmp_path: Path, where: list[str]) -> None:
    np.savez(tmp_path / "seen.npz", observations=np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32))
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    done = command_line.run("export", artifact, "-o", one / "policy.c", *where, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "parity: " in done.stderr
    whole = command_line.run("export", own_agents / AGENT, "--recipe", RECIPE, "-o", other / "policy.c")
    assert whole.returncode == 0, whole.stderr
    # Their golden vectors are of other observations, and with them the number that pairs C and header.
    texts = [(folder / "policy.c").read_text().partition("_SELFTEST")[0].splitlines() for folder in (one, other)]
    assert len(texts[0]) > 100
    assert [line for line in texts[0] if "_PAIR" not in line] == [line for line in texts[1] if "_PAIR" not in line]


def test_the_module_acts_like_the_artifact(artifact: Path, tmp_path: Path) -> None:
    done = command_line.run("export", artifact, "-o", tmp_path / "policy.so")
    assert done.returncode == 0, done.stderr
    rows = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
    wanted = OnnxRuntime(artifact.read_bytes()).run_batch(rows)["action"]
    code = f"import policy; print(*[policy.act(row) for row in {rows.tolist()}])"
    told = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert [int(float(word)) for word in told.split()] == wanted.astype(int).tolist()


def test_it_is_described(artifact: Path) -> None:
    done = command_line.run("inspect", artifact)
    assert done.returncode == 0, done.stderr
    for word in (RECIPE, "int8", "CartPole-v1", "argmax", "dqn"):
        assert word in done.stdout
    told = json.loads(command_line.run("inspect", artifact, "--json").stdout)
    assert told["contract"]["recipe"] == RECIPE
    assert 0 < told["packed_bytes"] < told["file_bytes"]


def test_of_the_sidecar_only_the_return_is_taken(artifact: Path, tmp_path: Path) -> None:
    """What acts is the file; a sidecar that somebody changed says nothing of it."""
    path = tmp_path / "small.onnx"
    path.write_bytes(artifact.read_bytes())
    said = json.loads(artifact.with_name("small.onnx.json").read_text())
    said |= {"recipe": "none", "measured_return": dict(mean=9.0, lower=8.0, upper=10.0, confidence=0.95, count=5)}
    path.with_name("small.onnx.json").write_text(json.dumps(said))
    told = json.loads(command_line.run("inspect", path, "--json").stdout)["contract"]
    assert (told["recipe"], told["measured_return"]["mean"]) == (RECIPE, 9.0)


def test_what_is_compressed_is_not_compressed_again(artifact: Path, tmp_path: Path) -> None:
    done = command_line.run("export", artifact, "--recipe", "int8", "-o", tmp_path / "again.onnx")
    assert done.returncode == 2
    assert "quantized already" in done.stderr
    assert not (tmp_path / "again.onnx").exists()


@pytest.mark.parametrize("command", [["inspect"], ["export", "-o", "x.onnx"]])
def test_options_that_say_nothing_of_an_artifact_are_refused(
    artifact: Path, tmp_path: Path, command: list[str]
) -> None:
    done = command_line.run(command[0], artifact, *command[1:], "--activation", "tanh", cwd=tmp_path)
    assert done.returncode == 2
    assert "--activation" in done.stderr


def test_a_damaged_artifact_is_one_error(artifact: Path, tmp_path: Path) -> None:
    model = onnx.load(artifact)
    for entry in model.metadata_props:
        entry.value = entry.value[: len(entry.value) // 2]
    onnx.save(model, tmp_path / "half.onnx")
    for command in (["inspect"], ["export", "-o", "x.c"]):
        done = command_line.run(command[0], "half.onnx", *command[1:], cwd=tmp_path)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "x.c").exists()
