"""Zip archives that nobody vouches for, read in memory and never unpacked to disk.

Refused before a byte is inflated: too many members, too much content, a compression ratio that only a
bomb has, names that point outside, doubled names, encryption.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from policypress.errors import DamagedAgentError

MAX_FILE_BYTES = 2 * 1024**3
MAX_MEMBERS = 10_000
MAX_CONTENT_BYTES = 4 * 1024**3
MAX_RATIO = 200
RATIO_APPLIES_FROM_BYTES = 16 * 1024**2


def read_bytes(path: Path, *, limit_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Content of a file that may be at most ``limit_bytes`` long.

    Raises:
        DamagedAgentError: it cannot be read, or is longer.
    """
    try:
        size_bytes = path.stat().st_size
        if size_bytes > limit_bytes:
            raise DamagedAgentError(
                f"{path.name} is too large to be an agent.",
                got=f"{size_bytes} bytes",
                expected=f"at most {limit_bytes} bytes",
            )
        return path.read_bytes()
    except OSError as error:
        raise DamagedAgentError(f"{path} cannot be read.", got=str(error), expected="a readable file") from error


def sha256_of(content: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(content).hexdigest()


class Archive:
    """A checked zip archive.

    Args:
        content: the whole file.
        label: what to call it in messages.

    Raises:
        DamagedAgentError: it is no zip, is damaged, or breaks a limit of this module.
    """

    def __init__(self, content: bytes, label: str) -> None:
        self.label = label
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
            if not is_plain_name(name):
                raise self._refuse("a member's name points outside the archive.", repr(name), "relative names")
            if name in seen:
                raise self._refuse("a member's name occurs twice.", repr(name), "every name once")
            if member.flag_bits & 0x1:
                raise self._refuse("a member is encrypted.", repr(name), "no encryption")
            seen.add(name)
            total += member.file_size
            if member.file_size > RATIO_APPLIES_FROM_BYTES and member.file_size > MAX_RATIO * max(
                member.compress_size, 1
            ):
                got = f"{name!r}: {member.compress_size} bytes that become {member.file_size}"
                raise self._refuse("the compression ratio of a zip bomb.", got, f"a ratio of at most {MAX_RATIO}")
        if total > MAX_CONTENT_BYTES:
            raise self._refuse("too much content.", f"{total} bytes", f"at most {MAX_CONTENT_BYTES} bytes")

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
            return self._zip.read(name)
        # zlib, struct, checksum, unsupported compression: all mean the same to the user.
        except Exception as error:
            raise DamagedAgentError(
                f"{self.label}: member {name!r} is damaged.",
                got=str(error) or type(error).__name__,
                expected="content that inflates and has the recorded checksum",
                hint="Download or copy the file again.",
            ) from error


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
