"""Files that are either whole or not there. No torch, so that whoever only writes need not load it."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from policypress.errors import OutputError

PARTIAL = ".partial"
# Of a file's name in that of its partial file, which may not be longer than the system allows.
_NAME = 100


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is either whole or not there: aside, flushed to disk, renamed.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    write_all_whole({path: content})


def write_all_whole(files: Mapping[Path, bytes]) -> None:
    """Write files that belong together: none takes the place of an old one before all are on the disk.

    They are renamed in the order given. Between two renames the machine may stop: the later file should carry a hash
    of the earlier one, so that whoever reads them notices.

    Raises:
        OutputError: a folder cannot be written, or the disk is full.
    """
    staged: list[tuple[Path, Path]] = []
    path = Path()
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            with tempfile.NamedTemporaryFile(
                dir=path.parent, prefix=f".{path.name[:_NAME]}.", suffix=PARTIAL, delete=False
            ) as handle:
                staged.append((Path(handle.name), path))
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
            staged[-1][0].chmod(0o644)
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
        # Nothing has these names after the renames; after an error or an interrupt they are half of the files.
        for temporary, _ in staged:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _flush_folder(folder: Path) -> None:
    """Bring a rename to disk, where the system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
