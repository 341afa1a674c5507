"""Built extension modules, kept between processes: found by what they were made from, checked by what they hold.

A file is named ``KEY-DIGEST.so``: ``KEY`` is the hash of everything that decides what is built, ``DIGEST`` that of the
file itself. A file whose bytes are not those of its name is removed and built again. Files appear by renaming, so
several processes may build the same one at once. What an artifact cannot be built from is remembered as
``KEY.refused``. The least recently used files go when the folder grows beyond its limit.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from policypress.errors import NativeBuildError

LIMIT_BYTES = 512 * 1024 * 1024
_SUFFIX, _REFUSED = ".so", ".refused"
_DIGEST = 32
_CHUNK = 1 << 16


def default_folder() -> Path:
    """``policypress/native`` in ``XDG_CACHE_HOME``, or in ``~/.cache``."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(named) if os.path.isabs(named) else Path.home() / ".cache"
    return home / "policypress" / "native"


class Cache:
    """The cache in one folder.

    Args:
        folder: is made when something is stored. Only a folder of the user's own that nobody else can write is used,
            because what lies in it is executed.
        limit_bytes: how large it may grow.
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder = default_folder() if folder is None else folder
        self.limit_bytes = limit_bytes

    def find(self, key: str) -> Path | None:
        """The module stored under ``key``; None if there is none that is whole."""
        if not self._trusted():
            return None
        for path in sorted(self.folder.glob(f"{key}-*{_SUFFIX}")):
            try:
                whole = path.stem == f"{key}-{_digest(path)}"
                if whole:
                    os.utime(path)
                    return path
                path.unlink()
            except OSError:  # another process removed it, or it cannot be read
                continue
        return None

    def refusal(self, key: str) -> str | None:
        """Why nothing can be built for ``key``; None where that is not known."""
        if not self._trusted():
            return None
        try:
            return (self.folder / f"{key}{_REFUSED}").read_text(encoding="utf-8")
        except (OSError, ValueError):
            return None

    def store(self, key: str, built: Path) -> Path:
        """Move the file ``built`` into the cache, and give its new path.

        Raises:
            NativeBuildError: the folder cannot be written, or is not the user's own.
        """
        target = self.folder / f"{key}-{_digest(built)}{_SUFFIX}"
        self._write(target, built.read_bytes())
        self._trim(target)
        return target

    def refuse(self, key: str, reason: str) -> None:
        """Remember why nothing can be built for ``key``.

        Raises:
            NativeBuildError: the folder cannot be written, or is not the user's own.
        """
        self._write(self.folder / f"{key}{_REFUSED}", reason.encode())

    def size_bytes(self) -> int:
        """Bytes of all files in it."""
        return sum(size for _, size, _ in self._entries())

    def prepare(self) -> None:
        """Make the folder if it is not there.

        Raises:
            NativeBuildError: it cannot be written, or is not the user's own.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise _unwritable(self.folder, error.strerror or str(error)) from error
        if not self._trusted():
            raise NativeBuildError(
                "The folder of built modules is not safe to use: others can write to it.",
                got=str(self.folder),
                expected="a folder of your own, with mode 0700",
                hint="Remove it, or set XDG_CACHE_HOME to a folder of your own.",
            )
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise _unwritable(self.folder, "not writable")

    def _write(self, target: Path, content: bytes) -> None:
        temporary: Path | None = None
        self.prepare()
        try:
            with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".", suffix=".partial", delete=False) as handle:
                temporary = Path(handle.name)
                handle.write(content)
            temporary.chmod(0o700)
            temporary.replace(target)
        except OSError as error:
            raise _unwritable(target, error.strerror or str(error)) from error
        finally:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    temporary.unlink()

    def _trusted(self) -> bool:
        """Whether the folder is there and nobody else can have put something into it."""
        try:
            known = self.folder.stat()
        except OSError:
            return False
        if not hasattr(os, "geteuid"):
            return stat.S_ISDIR(known.st_mode)
        shared = known.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        return stat.S_ISDIR(known.st_mode) and known.st_uid == os.geteuid() and not shared

    def _entries(self) -> list[tuple[float, int, Path]]:
        """Last use, bytes and path of every file."""
        found = []
        for path in self.folder.glob("*") if self.folder.is_dir() else ():
            with contextlib.suppress(OSError):
                known = path.stat()
                found.append((known.st_mtime, known.st_size, path))
        return found

    def _trim(self, kept: Path) -> None:
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if total <= self.limit_bytes:
                return
            if path != kept:
                with contextlib.suppress(OSError):
                    path.unlink()
                    total -= size


def _unwritable(path: Path, why: str) -> NativeBuildError:
    return NativeBuildError(
        "A built module cannot be kept.",
        got=f"{path}: {why}",
        hint="Make room, or set XDG_CACHE_HOME to a folder that can be written.",
    )


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()[:_DIGEST]
