"""Only regular files are read, and never more of them than was allowed."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from policypress_runtime.errors import ArtifactError, DamagedAgentError
from policypress_runtime.regular_file import check_regular, open_regular, read_regular


def test_reads_a_file_and_a_link_to_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "b").symlink_to("a")
    assert read_regular(tmp_path / "a", limit_bytes=7) == read_regular(tmp_path / "b", limit_bytes=7) == b"content"
    with open_regular(tmp_path / "b") as file:
        assert file.read() == b"content"


def test_a_file_that_is_too_long(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    with pytest.raises(ArtifactError, match=r"too large[\s\S]*7 bytes[\s\S]*at most 6 bytes"):
        read_regular(tmp_path / "a", limit_bytes=6, error=ArtifactError)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (_pipe, "a pipe"),
        (_socket, "a socket"),
        (Path.mkdir, "a folder"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
    ],
)
def test_whatever_is_no_regular_file(tmp_path: Path, make: object, kind: str) -> None:
    path = tmp_path / "x"
    make(path)  # type: ignore[operator]
    for read in (check_regular, open_regular, lambda p: read_regular(p, limit_bytes=10)):
        with pytest.raises(DamagedAgentError, match=kind):
            read(path)  # type: ignore[operator]


@pytest.mark.skipif(not Path("/proc/kallsyms").exists(), reason="this system has no such files")
def test_files_of_the_system_that_claim_to_be_empty() -> None:
    with pytest.raises(DamagedAgentError, match="longer than it says"):
        read_regular(Path("/proc/self/maps"), limit_bytes=10**9)


def test_paths_that_are_none(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", Path("a\0b")):
        with pytest.raises(DamagedAgentError, match="cannot be read"):
            read_regular(path, limit_bytes=1)
