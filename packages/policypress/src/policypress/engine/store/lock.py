"""One driver per store: a lock that the operating system lets go of when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from policypress_runtime.errors import OutputError, StoreError


class DriverLock:
    """Exclusive lock on ``path``, held from construction until :meth:`release` or the end of the process.

    The file stays; it holds the process id of its last owner, for the message.

    Raises:
        StoreError: another process has it; names its process id.
        OutputError: the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise OutputError("The output folder cannot be written.", got=str(error)) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(self._descriptor, 32).decode(errors="replace").strip()
            self.release()
            raise StoreError(
                "Another process is running this study.",
                got=f"{path} is held by process {owner or 'unknown'}",
                expected="one driver at a time",
                hint="Wait for it, or stop it; what it has finished is kept.",
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go; a second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
