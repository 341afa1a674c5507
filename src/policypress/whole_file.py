"""Files that are either whole or not there. No torch, so that whoever only writes need not load it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from policypress.errors import OutputError

PARTIAL = ".partial"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is either whole or not there: aside, flushed to disk, renamed.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL, delete=False
        ) as handle:
            temporary = Path(handle.name)
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        raise OutputError(
            "The file cannot be written.",
            got=f"{path}: {error.strerror or error}",
            expected="a folder that can be written, with space left",
            hint="Make room, or choose another folder, and run the same command again: what is complete is kept.",
        ) from error
    finally:
        # Nothing has this name after the rename; after an error or an interrupt it is half a file.
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _flush_folder(folder: Path) -> None:
    """Bring a rename to disk, where the system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
