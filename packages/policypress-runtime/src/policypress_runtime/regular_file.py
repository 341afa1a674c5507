"""Files that others wrote, read as what they should be: regular files of a size that was allowed.

A pipe makes its reader wait for ever, ``/dev/zero`` never ends, and a device may act when it is opened. Whatever
a path leads to (also through a link) is looked at before it is opened, and once more through the open descriptor.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from policypress_runtime.errors import DamagedAgentError, PolicypressError

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def open_regular(path: Path, *, error: type[PolicypressError] = DamagedAgentError) -> BinaryIO:
    """The open file; the caller closes it.

    Args:
        path: what the user named, or what stands beside it.
        error: the type of the error.

    Raises:
        PolicypressError: of type ``error``: it is not there, cannot be read, or is no regular file.
    """
    try:
        _check(os.stat(path), path, error)
        # A path can come to mean something else in between: never wait, and look again.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
        try:
            _check(os.fstat(descriptor), path, error)
            return os.fdopen(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise
    # ValueError: a zero byte in the path.
    except (OSError, ValueError) as failure:
        raise error(f"{path} cannot be read.", got=str(failure), expected="a readable file") from failure


def read_regular(path: Path, *, limit_bytes: int, error: type[PolicypressError] = DamagedAgentError) -> bytes:
    """The content of a regular file that may be at most ``limit_bytes`` long.

    Raises:
        PolicypressError: of type ``error``: as ``open_regular``, or it is longer, or grows while it is read.
    """
    with open_regular(path, error=error) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if size_bytes > limit_bytes:
            raise error(
                f"{path.name} is too large.", got=f"{size_bytes} bytes", expected=f"at most {limit_bytes} bytes"
            )
        try:
            # One byte more than it should have: files of the system claim to be empty and are endless.
            content = file.read(size_bytes + 1)
        except OSError as failure:
            raise error(f"{path} cannot be read.", got=str(failure), expected="a readable file") from failure
    if len(content) > size_bytes:
        raise error(
            f"{path} is longer than it says.",
            got=f"more than {size_bytes} bytes",
            expected="an ordinary file that nobody is writing",
            hint="Wait until it is written, or copy it to another file.",
        )
    return content


def check_regular(path: Path, *, error: type[PolicypressError] = DamagedAgentError) -> None:
    """Refuse what cannot be read as a file, before a library opens ``path`` by itself.

    Raises:
        PolicypressError: of type ``error``, as ``open_regular``.
    """
    open_regular(path, error=error).close()


def _check(status: os.stat_result, path: Path, error: type[PolicypressError]) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for holds, name in _KINDS if holds(status.st_mode)), "something else")
        raise error(
            f"{path} is not a regular file.",
            got=kind,
            expected="a regular file, or a link to one",
            hint="Copy the content to a regular file, and give that.",
        )
