from __future__ import annotations

import ctypes
import hashlib
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from policypress_runtime.toolchain import own_folder
from policypress_runtime.toolchain.cache import Cache
from policypress_runtime.toolchain.own_folder import UnsafeFolderError, open_own_folder

OTHER = 1001
KEY = "c" * 32
needs_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can act as others")


def opened(folder: Path, *, make: bool = True) -> None:
    os.close(open_own_folder(folder, make=make))


def test_what_is_missing_is_made_for_this_user_alone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        opened(tmp_path / "a" / "b", make=False)
    opened(tmp_path / "a" / "b")
    opened(tmp_path / "a" / "b", make=False)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("mode", "safe"), [(0o755, True), (0o1777, True), (0o777, False), (0o707, False)])
def test_every_parent_counts(mode: int, safe: bool, tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    parent.mkdir()
    parent.chmod(mode)
    if safe:
        opened(parent / "in" / "own")
    else:
        with pytest.raises(UnsafeFolderError, match=f"others can write to {parent}"):
            opened(parent / "in" / "own")
        assert not list(parent.iterdir())


def test_a_link_is_followed_to_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "own").mkdir(mode=0o700)
    (tmp_path / "to_own").symlink_to(tmp_path / "own")
    (tmp_path / "to_open").symlink_to(tmp_path / "open")
    opened(tmp_path / "to_own" / "x")
    with pytest.raises(UnsafeFolderError):
        opened(tmp_path / "to_open" / "x")


def test_a_link_that_appears_meanwhile_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "other")
    monkeypatch.setattr(os.path, "realpath", str)
    with pytest.raises(OSError, match="link"):
        opened(tmp_path / "link" / "x")
    assert not list((tmp_path / "other").iterdir())


def test_a_group_of_the_user_alone_may_write_to_a_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = tmp_path / "parent"
    parent.mkdir()
    parent.chmod(0o775)
    for alone in (True, False):
        monkeypatch.setattr(own_folder, "_group_is_the_user", lambda *_, alone=alone: alone)
        if alone:
            opened(parent / "own")
        else:
            with pytest.raises(UnsafeFolderError):
                opened(parent / "own")
    parent.joinpath("own").chmod(0o770)
    monkeypatch.setattr(own_folder, "_group_is_the_user", lambda *_: True)
    with pytest.raises(UnsafeFolderError):
        opened(parent / "own")


def as_other(work: Callable[[], None]) -> int:
    """Do ``work`` in a process of another user; its id."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setgid(OTHER)
            os.setuid(OTHER)
            work()
        finally:
            os._exit(0)
    return pid


@needs_root
def test_a_parent_that_somebody_else_owns_is_never_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner exchanges the folder as fast as they can; not one look finds their file."""
    with tempfile.TemporaryDirectory() as folder:  # not pytest's, which others cannot reach
        Path(folder).chmod(0o1777)
        assert attacked(Path(folder), monkeypatch) == [None] * 300
        cache = Cache()
        cache.prepare()
        assert "belongs to another user" in (cache.notice or "")


def attacked(shared: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path | None]:
    """What 300 looks find while the folder is exchanged."""
    os.waitpid(as_other(lambda: (shared / "policypress").mkdir()), 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared))
    (shared / "policypress" / "native").mkdir(mode=0o700)
    evil = b"code of another user"
    name = f"{KEY}-{hashlib.sha256(evil).hexdigest()[:32]}.so"

    def exchange() -> None:
        folder = shared / "policypress"
        (folder / "evil").mkdir()
        (folder / "evil" / name).write_bytes(evil)
        rename = ctypes.CDLL(None).renameat2
        end = time.monotonic() + 5
        while time.monotonic() < end:
            rename(-100, bytes(folder / "native"), -100, bytes(folder / "evil"), 2)

    pid = as_other(exchange)
    try:
        return [Cache().find(KEY) for _ in range(300)]
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
