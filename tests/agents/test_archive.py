"""Zip archives: what a bomb, a traversal or damage looks like is refused before anything is inflated."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policypress.agents import archive
from policypress.agents.archive import Archive, is_plain_name, listing, read_bytes, sha256_of
from policypress_runtime.errors import AgentError, DamagedAgentError


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def test_reads_members() -> None:
    opened = Archive(zipped({"a": b"1", "d/b": b"22"}, zipfile.ZIP_DEFLATED), "x.zip")
    assert opened.names == ("a", "d/b")
    assert opened.read("d/b") == b"22"


def test_missing_member_lists_what_is_there() -> None:
    with pytest.raises(DamagedAgentError, match=r"no member 'c'[\s\S]*'a', 'b'"):
        Archive(zipped({"a": b"", "b": b""}), "x.zip").read("c")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../b", "C:/x", "a\\b", "c:x"])
def test_names_that_point_outside(name: str) -> None:
    assert not is_plain_name(name)
    with pytest.raises(DamagedAgentError, match="outside"):
        Archive(zipped({name: b"x"}), "x.zip")


@pytest.mark.parametrize("name", ["data", "archive/data/0", "a..b", ".data/x"])
def test_plain_names(name: str) -> None:
    assert is_plain_name(name)


def test_doubled_name() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("data", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("data", b"2")
    with pytest.raises(DamagedAgentError, match="twice"):
        Archive(buffer.getvalue(), "x.zip")


def test_bomb_by_ratio() -> None:
    bomb = zipped({"data": b"\0" * (archive.RATIO_APPLIES_FROM_BYTES + 1)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    with pytest.raises(DamagedAgentError, match="bomb"):
        Archive(bomb, "x.zip")


def test_bomb_by_count_and_by_total(monkeypatch: pytest.MonkeyPatch) -> None:
    content = zipped({str(i): b"12345678" for i in range(5)})
    monkeypatch.setattr(archive, "MAX_MEMBERS", 4)
    with pytest.raises(DamagedAgentError, match="too many"):
        Archive(content, "x.zip")
    monkeypatch.setattr(archive, "MAX_MEMBERS", 5)
    monkeypatch.setattr(archive, "MAX_CONTENT_BYTES", 39)
    with pytest.raises(DamagedAgentError, match="too much"):
        Archive(content, "x.zip")


def test_size_that_the_directory_understates() -> None:
    """A header that lies about the size gives the declared size at most, and fails its checksum."""
    content = bytearray(zipped({"data": b"x" * 1000}, zipfile.ZIP_DEFLATED))
    at = content.rindex(b"PK\x01\x02") + 24
    content[at : at + 4] = struct.pack("<I", 10)
    with pytest.raises(DamagedAgentError, match="damaged"):
        Archive(bytes(content), "x.zip").read("data")


def test_encrypted_member() -> None:
    content = bytearray(zipped({"data": b"x"}))
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(DamagedAgentError, match="encrypted"):
        Archive(bytes(content), "x.zip")


GOOD = zipped(
    {"data": b"some content that compresses compresses", "policy.pth": bytes(range(256))}, zipfile.ZIP_DEFLATED
)


@given(st.integers(0, len(GOOD) - 1))
def test_truncated(length: int) -> None:
    with pytest.raises(DamagedAgentError):
        Archive(GOOD[:length], "x.zip")


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(1, 255)), min_size=1, max_size=4))
def test_flipped_bytes_read_the_same_or_are_agent_errors(flips: list[tuple[int, int]]) -> None:
    content = bytearray(GOOD)
    for position, mask in flips:
        content[position] ^= mask
    original = Archive(GOOD, "x.zip")
    try:
        opened = Archive(bytes(content), "x.zip")
        read = {name: opened.read(name) for name in opened.names}
    except AgentError:
        return
    known = {original.read(name) for name in original.names}
    assert set(read.values()) <= known


def test_file_that_is_too_large_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert read_bytes(path, limit_bytes=5) == b"12345"
    with pytest.raises(DamagedAgentError, match="too large"):
        read_bytes(path, limit_bytes=4)
    with pytest.raises(DamagedAgentError, match="cannot be read"):
        read_bytes(tmp_path / "absent")


def test_sha256_and_listing() -> None:
    assert sha256_of(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert listing(["a", "b"], limit=1) == "'a' and 1 more"
    assert listing([]) == "none"


def _lying(content: bytes, claimed: int) -> bytes:
    """An archive whose only member says that it is ``claimed`` bytes long."""
    stored = bytearray(zipped({"data": content}, zipfile.ZIP_DEFLATED))
    entry = stored.index(b"PK\1\2")
    for place in (22, entry + 24):
        stored[place : place + 4] = struct.pack("<I", claimed)
    return bytes(stored)


@pytest.mark.parametrize("claimed", [0, 1000, 2**24 - 1])
def test_a_header_that_lies_about_the_size(claimed: int) -> None:
    opened = Archive(_lying(b"\0" * 2**24, claimed), "x.zip")
    with pytest.raises(DamagedAgentError, match="damaged"):
        opened.read("data")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_inflate_a_block_at_once(method: int) -> None:
    with pytest.raises(DamagedAgentError, match="unsupported compression method"):
        Archive(zipped({"data": b"x"}, method), "x.zip")


def test_entries_are_counted_before_they_are_read() -> None:
    with pytest.raises(DamagedAgentError, match="too many"):
        Archive(b"PK\1\2" * (2 * archive.MAX_MEMBERS + 1), "x.zip")
