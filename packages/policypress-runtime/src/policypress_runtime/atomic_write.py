"""Atomic file writes: a file is complete or absent. Imports no torch."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from policypress_runtime.errors import OutputError

try:
    import fcntl
except ImportError:  # a system without POSIX locks: partial files stay
    _LOCKS = False
else:
    _LOCKS = True

PARTIAL = ".partial"
# Characters of a file's name that its partial file's name keeps; the system limits the length.
_NAME = 100
_OURS = re.compile(r"\..+\.[0-9a-z_]{8}" + re.escape(PARTIAL), re.DOTALL)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_KNOWN = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file atomically: to a temporary file, flushed to disk, renamed.

    Permissions follow the user's umask. Partial files that a killed process left of it are removed.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    write_all_atomic({path: content})


def write_all_atomic(files: Mapping[Path, bytes]) -> None:
    """Write files that belong together: none replaces an old file before all are on the disk.

    They are renamed in the order given. The machine may crash between two renames, so the later file should carry a
    hash of the earlier one; readers then notice.

    Raises:
        OutputError: a folder cannot be written, or the disk is full.
    """
    staged: list[tuple[Path, Path]] = []
    path = Path()
    try:
        with contextlib.ExitStack() as locks:
            for path, content in files.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                if path.is_dir():
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                sweep_partial(path.parent, path.name)
                temporary, descriptor = _aside(path)
                staged.append((temporary, path))
                handle = locks.enter_context(os.fdopen(descriptor, "wb"))
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
            for temporary, path in staged:
                temporary.replace(path)
        for folder in {path.parent for path in files}:
            _flush_folder(folder)
    except OSError as error:
        raise OutputError(
            "The file cannot be written.",
            got=f"{path}: {error.strerror or error}",
            expected="a folder that can be written, with space left",
            hint="Make room, or choose another folder, and run the same command again: what is complete is kept.",
        ) from error
    finally:
        # After the renames these names are gone; after an error or an interrupt they are partial files.
        for temporary, _ in staged:
            with contextlib.suppress(OSError):
                temporary.unlink()


def sweep_partial(folder: Path, name: str | None = None, *, ours: bool = False) -> None:
    """Remove partial files of dead processes in ``folder`` itself: those of the file ``name``, or all.

    A process that is still writing holds a lock on its file, which therefore stays. Unless the folder is ``ours``,
    only names of our pattern are removed: other programs' files may end in ``.partial`` too.
    """
    beginning = ("" if ours else ".") if name is None else f".{glob.escape(name[:_NAME])}."
    for path in folder.glob(f"{beginning}*{PARTIAL}"):
        if ours or _OURS.fullmatch(path.name):
            with contextlib.suppress(OSError):
                _remove_if_left(path)


def _aside(path: Path) -> tuple[Path, int]:
    """A new temporary file beside ``path``, and its locked descriptor."""
    while True:
        temporary = path.with_name(f".{path.name[:_NAME]}.{os.urandom(4).hex()}{PARTIAL}")
        descriptor = os.open(temporary, _NEW, 0o666)
        if _LOCKS:
            with contextlib.suppress(OSError):  # some network file systems have no locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink > 0:
            return temporary, descriptor
        os.close(descriptor)  # swept before it was locked


def _remove_if_left(path: Path) -> None:
    if not _LOCKS:
        return
    descriptor = os.open(path, _KNOWN)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    """Flush a rename to disk, if the system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
