"""The file beside an artifact: it says whose it is, and whoever reads the pair holds it against the artifact."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_policies import mlp

from policypress import load_artifact
from policypress.agents.loading import load_agent
from policypress.export.parity import ParityReport
from policypress.export.publish import ProvenArtifact, publish
from policypress.writers.onnx_writer import contract_of, embed_contract, to_onnx
from policypress_runtime.contract import Contract
from policypress_runtime.errors import ArtifactError, OutputError
from policypress_runtime.sidecar import check_pair, sidecar_name, sidecar_of

READERS: list[Callable[[Path], Any]] = [lambda path: load_artifact(path, "onnxruntime"), load_agent, check_pair]


def artifact(activation: str = "relu") -> ProvenArtifact:
    """Not proven at all: here it is only written and read."""
    policy = mlp(activation=activation)
    model = to_onnx(policy)
    contract = contract_of(policy, activation, "", "fp32", "0")
    embed_contract(model, contract)
    return ProvenArtifact(model.SerializeToString(), contract, ParityReport(0, 0, 0.0, 1.0, 0.0), policy)


def pair(folder: Path) -> tuple[Path, Path]:
    path = folder / "policy.onnx"
    publish(artifact(), path)
    return path, path.with_name(sidecar_name(path.name))


def test_a_pair_is_read(tmp_path: Path) -> None:
    path, beside = pair(tmp_path)
    for read in READERS:
        read(path)
    stated = json.loads(beside.read_text())
    assert stated["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert beside.read_bytes() == sidecar_of(Contract.from_json(stated), stated["sha256"])


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("stale", ["artifact", "sidecar"])
def test_a_pair_of_two_exports_is_refused(stale: str, read: Callable[[Path], Any], tmp_path: Path) -> None:
    path, beside = pair(tmp_path)
    other, other_beside = pair(tmp_path / "other")
    publish(artifact("tanh"), other)
    if stale == "artifact":
        path.write_bytes(other.read_bytes())
    else:
        beside.write_bytes(other_beside.read_bytes())
    with pytest.raises(ArtifactError, match=r"do not belong together[\s\S]*remove policy.onnx.json"):
        read(path)
    beside.unlink()
    read(path)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_sidecar_that_cannot_be_read(content: bytes, read: Callable[[Path], Any], tmp_path: Path) -> None:
    path, beside = pair(tmp_path)
    beside.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"sidecar[\s\S]*remove policy.onnx.json"):
        read(path)
    beside.unlink()
    read(path)


def test_another_program_s_file_is_left_alone(tmp_path: Path) -> None:
    path, beside = pair(tmp_path)
    text = '{"author": "somebody"}'
    beside.write_text(text)
    for read in READERS:
        read(path)
    assert beside.read_text() == text


@pytest.mark.parametrize("which", [0, 1])
def test_a_disk_that_is_full_leaves_the_old_pair(which: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, beside = pair(tmp_path)
    before = path.read_bytes(), beside.read_bytes()
    left = [which]

    def fails(*_: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fails)
    with pytest.raises(OutputError, match="No space"):
        publish(artifact("tanh"), path)
    monkeypatch.undo()
    assert (path.read_bytes(), beside.read_bytes()) == before
    assert len(list(tmp_path.iterdir())) == 2


def test_a_crash_between_the_two_renames_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = pair(tmp_path)
    rename, left = Path.replace, [1]

    def crashes(self: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", crashes)
    with pytest.raises(KeyboardInterrupt):
        publish(artifact("tanh"), path)
    monkeypatch.undo()
    with pytest.raises(ArtifactError, match="do not belong together"):
        load_artifact(path)
    publish(artifact("tanh"), path)
    load_artifact(path, "onnxruntime")


def test_a_folder_in_the_sidecar_s_place_leaves_the_old_artifact(tmp_path: Path) -> None:
    path, beside = pair(tmp_path)
    before = path.read_bytes()
    beside.unlink()
    beside.mkdir()
    with pytest.raises(OutputError, match="directory"):
        publish(artifact("tanh"), path)
    assert path.read_bytes() == before


FOREIGN = [b"", b"my notes", b"{}", b"[1]", b'{"schema": 1, "robot": "mine"}', b"\xff\xfe"]


@pytest.mark.parametrize("content", FOREIGN)
def test_what_somebody_else_wrote_is_not_replaced(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "policy.onnx"
    beside = path.with_name(sidecar_name(path.name))
    beside.write_bytes(content)
    with pytest.raises(OutputError, match=f"Move {beside.name}") as refused:
        publish(artifact(), path)
    assert refused.value.exit_code == 2
    assert beside.read_bytes() == content
    assert not path.exists()
    beside.rename(tmp_path / "moved.json")  # as the hint says
    publish(artifact(), path)


def test_a_folder_or_a_pipe_in_its_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.onnx"
    path.with_name(sidecar_name(path.name)).mkdir()
    with pytest.raises(OutputError):
        publish(artifact(), path)
    assert not path.exists()


def test_a_sidecar_of_ours_is_replaced_even_a_stale_one(tmp_path: Path) -> None:
    path, beside = pair(tmp_path)
    publish(artifact("tanh"), path)
    check_pair(path)
    path.unlink()
    publish(artifact(), path)
    assert json.loads(beside.read_text())["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
