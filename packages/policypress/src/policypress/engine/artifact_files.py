"""The files of an artifact on disk: written whole or not at all, and recognised again by their sha256."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path, PurePosixPath

from policypress.records import ArtifactRecord
from policypress_runtime.atomic_write import sweep_partial, write_all_atomic
from policypress_runtime.errors import ExecutionError

FOLDER = "artifacts"


@dataclass(frozen=True)
class BuiltArtifact:
    """What a build task returns, and what episode tasks are given.

    Args:
        record: its ``path`` is the name of the artifact among ``files``.
        files: name → content of the artifact and of what belongs to it (the sidecar); plain file names.
    """

    record: ArtifactRecord
    files: Mapping[str, bytes]


def publish(folder: Path, key: str, built: BuiltArtifact) -> tuple[ArtifactRecord, dict[str, str]]:
    """Write the files of the cell ``key`` below ``folder``; each appears whole, or not at all.

    Returns:
        The record with its path, and path → sha256 of every file; paths are relative to ``folder``.

    Raises:
        ExecutionError: the record does not fit the files, or a name is more than a file name.
        OutputError: the files cannot be written.
    """
    _check(built)
    place = PurePosixPath(FOLDER) / key[:16]
    write_all_atomic({folder / place / name: content for name, content in built.files.items()})
    digests = {str(place / name): hashlib.sha256(content).hexdigest() for name, content in built.files.items()}
    return replace(built.record, path=str(place / built.record.path)), digests


def _check(built: BuiltArtifact) -> None:
    record = built.record
    strange = [name for name in built.files if name in ("", ".", "..") or set(name) & set("/\\\0")]
    if strange:
        raise ExecutionError("A build gave a file a path.", got=repr(strange[0]), expected="a file name")
    if record.path not in built.files:
        raise ExecutionError(
            "A build gave a record without its file.", got=record.path, expected=f"one of {', '.join(built.files)}"
        )
    digest = hashlib.sha256(built.files[record.path]).hexdigest()
    if digest != record.sha256:
        raise ExecutionError(
            "A build gave a record that is not of its file.", got=f"sha256 {record.sha256}", expected=digest
        )
    broken = {name: value for name, value in vars(record).items() if isinstance(value, float) and not isfinite(value)}
    if broken:
        raise ExecutionError("A build gave numbers that are not finite.", got=repr(broken), expected="finite, or None")


def remove_partial(folder: Path) -> None:
    """Remove what a killed driver had half written."""
    for inner in (folder / FOLDER).glob("*/"):
        sweep_partial(inner, ours=True)


def load(folder: Path, record: ArtifactRecord, digests: Mapping[str, str]) -> BuiltArtifact | None:
    """The artifact of ``record`` read back; None if a file is missing or has changed."""
    files = {}
    for path, digest in digests.items():
        try:
            content = (folder / path).read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() != digest:
            return None
        files[PurePosixPath(path).name] = content
    name = PurePosixPath(record.path).name
    return BuiltArtifact(replace(record, path=name), files) if name in files else None
