from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
import synthetic_study as synthetic

from policypress.engine.artifact_files import BuiltArtifact, load, publish, remove_partial
from policypress_runtime.errors import ExecutionError, OutputError

KEY = "ab" * 32


@pytest.fixture
def built() -> BuiltArtifact:
    return synthetic.build(("int8", 0.0))


def test_what_was_published_is_read_back(tmp_path: Path, built: BuiltArtifact) -> None:
    record, digests = publish(tmp_path, KEY, built)
    assert record == replace(built.record, path=f"artifacts/{KEY[:16]}/policy.onnx")
    assert (tmp_path / record.path).read_bytes() == built.files["policy.onnx"]
    assert digests[record.path] == record.sha256
    assert sorted(path.name for path in (tmp_path / record.path).parent.iterdir()) == ["policy.json", "policy.onnx"]
    assert load(tmp_path, record, digests) == built


@pytest.mark.parametrize("name", ["policy.onnx", "policy.json"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"something else")])
def test_a_missing_or_changed_file_is_noticed(tmp_path: Path, built: BuiltArtifact, name: str, damage: object) -> None:
    record, digests = publish(tmp_path, KEY, built)
    damage(tmp_path / f"artifacts/{KEY[:16]}/{name}")  # type: ignore[operator]
    assert load(tmp_path, record, digests) is None
    assert load(tmp_path, *publish(tmp_path, KEY, built)) == built


@pytest.mark.parametrize("name", ["../policy.onnx", "/etc/policy.onnx", "a/b", "a\\b", "", ".."])
def test_a_file_stays_in_its_folder(tmp_path: Path, built: BuiltArtifact, name: str) -> None:
    with pytest.raises(ExecutionError, match="path"):
        publish(tmp_path, KEY, replace(built, files={**built.files, name: b""}))
    assert list(tmp_path.iterdir()) == []


def test_a_record_is_of_its_file(tmp_path: Path, built: BuiltArtifact) -> None:
    with pytest.raises(ExecutionError, match="not of its file"):
        publish(tmp_path, KEY, replace(built, record=replace(built.record, sha256="0" * 64)))
    with pytest.raises(ExecutionError, match="without its file"):
        publish(tmp_path, KEY, replace(built, record=replace(built.record, path="other.onnx")))
    with pytest.raises(ExecutionError, match="not finite"):
        publish(tmp_path, KEY, replace(built, record=replace(built.record, parity_max_error=float("nan"))))


def test_a_full_disk_leaves_no_half_file(tmp_path: Path, built: BuiltArtifact, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        publish(tmp_path, KEY, built)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_a_killed_driver_left_is_removed(tmp_path: Path, built: BuiltArtifact) -> None:
    record, digests = publish(tmp_path, KEY, built)
    half = (tmp_path / record.path).with_name("policy.onnx.partial")
    half.write_bytes(b"half")
    remove_partial(tmp_path)
    assert not half.exists()
    assert load(tmp_path, record, digests) == built
