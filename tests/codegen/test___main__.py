"""``python -m policypress_runtime.codegen``: files, exit codes, and no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from compiled_policies import compiler, model_of
from small_policies import mlp

from policypress_runtime.codegen.__main__ import main


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(model_of(mlp()))
    return path


def test_writes_c_and_header(model: Path, tmp_path: Path) -> None:
    assert main([str(model), "-o", str(tmp_path / "out" / "hopper.c")]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"hopper.c", "hopper.h"}
    assert "int hopper_act(const float *observation, float *action);" in (tmp_path / "out" / "hopper.h").read_text()
    subprocess.run([compiler(), "-c", "hopper.c"], cwd=tmp_path / "out", check=True)


def test_weights_beside(model: Path, tmp_path: Path) -> None:
    assert main([str(model), "-o", str(tmp_path / "out" / "policy.c"), "--constants", "incbin"]) == 0
    (weights,) = (tmp_path / "out").glob("*.bin")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"policy.c", "policy.h", weights.name}
    subprocess.run([compiler(), "-c", "policy.c"], cwd=tmp_path / "out", check=True)


def test_weights_of_another_policy_are_not_taken(model: Path, tmp_path: Path) -> None:
    """What a full disk or a killed process leaves: the new C beside the old weights."""
    other = tmp_path / "other.onnx"
    other.write_bytes(model_of(mlp(hidden=9)))
    for source in (model, other):
        assert main([str(source), "-o", str(tmp_path / source.stem / "policy.c"), "--constants", "incbin"]) == 0
    for name in ("policy.c", "policy.h"):
        (tmp_path / "model" / name).write_bytes((tmp_path / "other" / name).read_bytes())
    done = subprocess.run([compiler(), "-c", "policy.c"], cwd=tmp_path / "model", capture_output=True, text=True)
    assert done.returncode != 0
    assert ".bin" in done.stderr


def test_working_memory_that_the_caller_gives(model: Path, tmp_path: Path) -> None:
    assert main([str(model), "-o", str(tmp_path / "policy.c"), "--stack", "16"]) == 0
    assert "int policy_act_with(void *scratch, const float *observation, float" in (tmp_path / "policy.h").read_text()


@pytest.mark.parametrize("content", [None, b"nothing"])
def test_what_cannot_be_read_is_one_message(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    assert main([str(path), "-o", str(tmp_path / "policy.c")]) == 2
    assert capsys.readouterr().err.startswith("error: The file")
    assert not (tmp_path / "policy.c").exists()


def test_is_light() -> None:
    heavy = "{'torch', 'onnxruntime', 'gymnasium'}"
    code = f"import policypress_runtime.codegen.__main__, sys; print(*{heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
