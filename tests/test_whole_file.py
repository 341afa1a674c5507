"""A file is whole or not there, whatever the disk or the user does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from policypress.errors import OutputError
from policypress.whole_file import write_whole


def test_writes_into_new_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_whole(path, b"content")
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("call", ["fsync", "replace", "write", "chmod"])
@pytest.mark.parametrize("before", [None, b"old"])
def test_a_disk_that_fails_leaves_the_old_file(
    call: str, before: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "policy.onnx"
    if before is not None:
        path.write_bytes(before)

    def fails(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    match call:
        case "fsync":
            monkeypatch.setattr(os, "fsync", fails)
        case "write":
            monkeypatch.setattr("tempfile._TemporaryFileWrapper.write", fails, raising=False)
        case _:
            monkeypatch.setattr(Path, call, fails)
    with pytest.raises(OutputError, match=r"No space left[\s\S]*folder that can be written"):
        write_whole(path, b"new")
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ([path.name] if before is not None else [])
    if before is not None:
        assert path.read_bytes() == before


def test_an_interrupt_leaves_no_partial_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "policy.onnx", b"new")
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())


def test_a_path_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "policy.onnx").mkdir()
    with pytest.raises(OutputError):
        write_whole(tmp_path / "policy.onnx", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["policy.onnx"]
