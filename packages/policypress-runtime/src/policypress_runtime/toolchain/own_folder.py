"""A folder that holds what is executed later: only its owner, or the system's, can change what a path in it means.

It is reached from the root by directory handles, one step at a time, so that what was checked is what is used: a step
that somebody else owns, or can write to, could be exchanged for another between two looks at it. Folders that all
may write to but that protect their entries (the sticky bit, as ``/tmp`` has it) are no danger to entries of our own.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_MODE = 0o700


class UnsafeFolderError(Exception):
    """Why a folder cannot be used; never leaves this package."""


def by_handle() -> bool:
    """Whether this system has directory handles and owners."""
    return hasattr(os, "geteuid") and os.open in os.supports_dir_fd


def open_own_folder(folder: Path, *, make: bool) -> int:
    """A handle on ``folder``; the caller closes it.

    Args:
        folder: absolute; symbolic links on the way are followed once, and what they lead to is checked.
        make: make what is missing, for this user alone.

    Raises:
        UnsafeFolderError: another user could change its content.
        OSError: it is not there, or cannot be made or written.
    """
    steps = Path(os.path.realpath(folder)).parts
    handle = os.open(steps[0], _DIRECTORY)
    try:
        _check_step(handle, Path(steps[0]))
        for depth in range(1, len(steps)):
            inner = _step(handle, steps[depth], make)
            os.close(handle)
            handle = inner
            _check_step(handle, Path(*steps[: depth + 1]))
        _check_last(handle, folder)
    except BaseException:
        os.close(handle)
        raise
    return handle


def is_own_file(known: os.stat_result) -> bool:
    """Whether this is a regular file of the user that nobody else can write."""
    return stat.S_ISREG(known.st_mode) and known.st_uid == os.geteuid() and not known.st_mode & 0o022


def _step(handle: int, name: str, make: bool) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=handle)
    except FileNotFoundError:
        if not make:
            raise
    with contextlib.suppress(FileExistsError):  # another process was faster
        os.mkdir(name, _MODE, dir_fd=handle)
    return os.open(name, _DIRECTORY, dir_fd=handle)


def _check_step(handle: int, path: Path) -> None:
    known = os.fstat(handle)
    if known.st_uid not in (0, os.geteuid()):
        raise UnsafeFolderError(f"{path} belongs to another user")
    others = known.st_mode & stat.S_IWOTH or (known.st_mode & stat.S_IWGRP and not _group_is_the_user(handle, known))
    if others and not known.st_mode & stat.S_ISVTX:
        raise UnsafeFolderError(f"others can write to {path}")


def _check_last(handle: int, path: Path) -> None:
    known = os.fstat(handle)
    if known.st_uid != os.geteuid():
        raise UnsafeFolderError(f"{path} belongs to another user")
    if known.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UnsafeFolderError(f"others can write to {path}")


def _group_is_the_user(handle: int, known: os.stat_result) -> bool:
    """Whether the group holds this user alone: many systems give everyone such a group, and a umask of 002."""
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(known.st_gid)
    except KeyError:
        return False
    alone = group.gr_gid == user.pw_gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
    return alone and not _has_access_list(handle)


def _has_access_list(handle: int) -> bool:
    """Whether more is said of who may write than the mode shows."""
    try:
        return "system.posix_acl_access" in os.listxattr(handle)
    except (AttributeError, OSError):
        return False
