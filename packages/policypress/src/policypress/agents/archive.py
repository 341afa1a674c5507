"""Untrusted zip archives, read in memory and never unpacked to disk.

Refused before a byte is inflated: too many members, too much content, a compression ratio that only a
bomb has, names that point outside, doubled names, encryption.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from policypress_runtime.errors import DamagedAgentError
from policypress_runtime.regular_file import read_regular

MAX_FILE_BYTES = 1024**3
MAX_MEMBERS = 10_000
MAX_CONTENT_BYTES = 1024**3
MAX_RATIO = 200
RATIO_APPLIES_FROM_BYTES = 16 * 1024**2
# The others are inflated a block at once, whatever its size; no checkpoint is written with them.
_METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}
_ENTRY = b"PK\1\2"
_CHUNK_BYTES = 2**20


def read_bytes(path: Path, *, limit_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Content of a file that may be at most ``limit_bytes`` long.

    Raises:
        DamagedAgentError: it cannot be read, is no regular file, or is longer.
    """
    return read_regular(path, limit_bytes=limit_bytes)


def sha256_of(content: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(content).hexdigest()


class Archive:
    """A checked zip archive.

    Args:
        content: the whole file.
        label: what to call it in messages.
        max_ratio: how many times its size a member may grow to; None where only the sum of all is limited.
        max_content_bytes: what all members may hold together, if not :data:`MAX_CONTENT_BYTES`.
        names_are_paths: whether members' names must be relative paths; where they are only looked up, they need not.

    Raises:
        DamagedAgentError: it is no zip, is damaged, or breaks a limit of this module.
    """

    def __init__(
        self,
        content: bytes,
        label: str,
        *,
        max_ratio: int | None = MAX_RATIO,
        max_content_bytes: int | None = None,
        names_are_paths: bool = True,
    ) -> None:
        self.label = label
        self._max_content_bytes = max_content_bytes or MAX_CONTENT_BYTES
        self._names_are_paths = names_are_paths
        self._max_ratio = max_ratio
        # zipfile makes an object of every entry before anybody can count them.
        entries = content.count(_ENTRY)
        if entries > 2 * MAX_MEMBERS:
            raise self._refuse("too many members.", str(entries), f"at most {MAX_MEMBERS}")
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(content))
            members = self._zip.infolist()
        # The central directory of a damaged file makes zipfile raise much more than BadZipFile.
        except Exception as error:
            raise DamagedAgentError(
                f"{label} is not a readable zip file.",
                got=str(error) or type(error).__name__,
                expected="a zip as Stable-Baselines3's save() writes it",
                hint="Download or copy the file again.",
            ) from error
        self._check(members)
        self.names = tuple(member.filename for member in members)

    def _refuse(self, message: str, got: str, expected: str) -> DamagedAgentError:
        return DamagedAgentError(
            f"{self.label}: {message}", got=got, expected=expected, hint="Do not use this file; get it again."
        )

    def _check(self, members: list[zipfile.ZipInfo]) -> None:
        if len(members) > MAX_MEMBERS:
            raise self._refuse("too many members.", str(len(members)), f"at most {MAX_MEMBERS}")
        seen: set[str] = set()
        total = 0
        for member in members:
            name = member.filename
            if self._names_are_paths and not is_plain_name(name):
                raise self._refuse("a member's name points outside the archive.", repr(name), "relative names")
            if name in seen:
                raise self._refuse("a member's name occurs twice.", repr(name), "every name once")
            if member.flag_bits & 0x1:
                raise self._refuse("a member is encrypted.", repr(name), "no encryption")
            if member.compress_type not in _METHODS:
                got = f"{name!r} by method {member.compress_type}"
                raise self._refuse(
                    "a member uses an unsupported compression method.", got, " or ".join(_METHODS.values())
                )
            seen.add(name)
            total += member.file_size
            if self._is_bomb(member):
                got = f"{name!r}: {member.compress_size} bytes that become {member.file_size}"
                raise self._refuse(
                    "the compression ratio of a zip bomb.", got, f"a compression ratio of at most {self._max_ratio}"
                )
        if total > self._max_content_bytes:
            raise self._refuse("too much content.", f"{total} bytes", f"at most {self._max_content_bytes} bytes")

    def _is_bomb(self, member: zipfile.ZipInfo) -> bool:
        if self._max_ratio is None or member.file_size <= RATIO_APPLIES_FROM_BYTES:
            return False
        return member.file_size > self._max_ratio * max(member.compress_size, 1)

    def read(self, name: str) -> bytes:
        """Content of member ``name``, its checksum verified.

        Raises:
            DamagedAgentError: there is no such member, or it is damaged.
        """
        if name not in self.names:
            raise DamagedAgentError(
                f"{self.label} has no member {name!r}.",
                got="members " + listing(self.names),
                expected=f"{name!r} among them",
                hint="Give a zip as Stable-Baselines3's save() writes it.",
            )
        try:
            return self._inflated(name)
        # zlib, struct, checksum, unsupported compression: all mean the same to the user.
        except Exception as error:
            raise DamagedAgentError(
                f"{self.label}: member {name!r} is damaged.",
                got=str(error) or type(error).__name__,
                expected="content that decompresses and has the recorded checksum",
                hint="Download or copy the file again.",
            ) from error

    def _inflated(self, name: str) -> bytes:
        """The member, never more of it than its entry says: a header may lie."""
        size_bytes = self._zip.getinfo(name).file_size
        parts: list[bytes] = []
        with self._zip.open(name) as member:
            left = size_bytes
            while left > 0 and (part := member.read(min(left, _CHUNK_BYTES))):
                parts.append(part)
                left -= len(part)
            # At the end the checksum is compared; what is longer than it says fails there.
            if left > 0 or member.read(1):
                raise zipfile.BadZipFile(f"it should have {size_bytes} bytes")
        return b"".join(parts)


def is_plain_name(name: str) -> bool:
    """Whether ``name`` is a relative path that stays below where it starts."""
    if not name or "\\" in name or "\x00" in name or ":" in name.split("/")[0]:
        return False
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def listing(names: Iterable[str], limit: int = 12) -> str:
    """Up to ``limit`` names, in the order given, for a message."""
    shown = list(names)
    text = ", ".join(repr(name) for name in shown[:limit]) or "none"
    return text + (f" and {len(shown) - limit} more" if len(shown) > limit else "")
