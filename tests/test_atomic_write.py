"""A file is whole or not there, whatever the disk or the user does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from policypress_runtime.atomic_write import sweep_partial, write_atomic
from policypress_runtime.errors import OutputError
from policypress_runtime.toolchain.child_python import python_command, python_environment


def test_writes_into_new_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomic(path, b"content")
    assert path.read_bytes() == b"content"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
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
        case "fsync" | "open":
            monkeypatch.setattr(os, call, fails)
        case _:
            monkeypatch.setattr(Path, call, fails)
    with pytest.raises(OutputError, match=r"No space left[\s\S]*folder that can be written"):
        write_atomic(path, b"new")
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ([path.name] if before is not None else [])
    if before is not None:
        assert path.read_bytes() == before


def test_an_interrupt_leaves_no_partial_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "policy.onnx", b"new")
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
@pytest.mark.parametrize("known", [False, True])
def test_the_umask_says_who_may_read(mask: int, mode: int, known: bool, tmp_path: Path) -> None:
    path = tmp_path / "file"
    if known:
        path.touch(mode=0o600)
    before = os.umask(mask)
    try:
        write_atomic(path, b"content")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == mode


LEFT = """
import os, pathlib, sys, time
from policypress_runtime import atomic_write
def stop(_):
    print("there", flush=True)
    time.sleep(60)
os.fsync = stop
atomic_write.write_atomic(pathlib.Path(sys.argv[1]), b"half")
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_process_left_is_swept_and_a_living_one_keeps_its_own(tmp_path: Path) -> None:
    for name in ("mine.partial", ".x.partial", ".policy.onnx.tooLong_9.partial"):
        (tmp_path / name).write_bytes(b"of the user")
    others = names(tmp_path)
    (tmp_path / ".none.onnx.abc123_z.partial").write_bytes(b"of an earlier version")
    writer = subprocess.Popen(
        python_command(LEFT, [str(tmp_path / "policy.onnx")]), env=python_environment(), stdout=subprocess.PIPE
    )
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"there\n"
        sweep_partial(tmp_path)
        assert len(names(tmp_path)) == len(others) + 1
        write_atomic(tmp_path / "policy.onnx", b"by another")
        assert len(names(tmp_path)) == len(others) + 2
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    write_atomic(tmp_path / "other.onnx", b"x")  # of another name: not its business
    assert len(names(tmp_path)) == len(others) + 3
    write_atomic(tmp_path / "policy.onnx", b"again")
    assert names(tmp_path) == sorted([*others, "other.onnx", "policy.onnx"])


def test_the_sweep_follows_no_link_and_takes_regular_files_only(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"kept")
    (tmp_path / ".a.aaaaaaaa.partial").symlink_to(tmp_path / "kept")
    (tmp_path / ".b.aaaaaaaa.partial").mkdir()
    os.mkfifo(tmp_path / ".c.aaaaaaaa.partial")
    before = names(tmp_path)
    sweep_partial(tmp_path)
    assert names(tmp_path) == before


def test_a_name_that_is_a_pattern_or_no_text(tmp_path: Path) -> None:
    left = tmp_path / ".axb.aaaaaaaa.partial"
    left.write_bytes(b"")
    path = Path(os.fsdecode(bytes(tmp_path / "a") + b"[x]*b\xff"))
    write_atomic(path, b"content")
    assert path.read_bytes() == b"content"
    assert left.exists()


def test_a_path_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "policy.onnx").mkdir()
    with pytest.raises(OutputError):
        write_atomic(tmp_path / "policy.onnx", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["policy.onnx"]
