"""The file beside an artifact that holds its contract for people, and that says by a hash whose it is.

The two are written one after the other. What a crash, a full disk or a copy that forgot one of them leaves is not a
pair, and reading the artifact then fails.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from policypress_runtime import contract_schema
from policypress_runtime.contract import Contract
from policypress_runtime.errors import ArtifactError, OutputError
from policypress_runtime.regular_file import read_regular

HASH = "sha256"
_MOST_BYTES = 4 * contract_schema.MAX_JSON


def sidecar_name(name: str) -> str:
    """Name of the file beside the artifact: ``policy.onnx`` → ``policy.onnx.json``."""
    return name + ".json"


def sidecar_of(contract: Contract, sha256: str) -> bytes:
    """The contract as JSON, with the hash of the artifact it belongs to."""
    return (json.dumps({**contract.to_json(), HASH: sha256}, indent=2, sort_keys=True) + "\n").encode()


def check_replaceable(artifact: Path) -> None:
    """Refuse to write an artifact if the file at its sidecar's path is not ours.

    Raises:
        OutputError: it is there, and is no contract that policypress wrote.
    """
    beside = artifact.with_name(sidecar_name(artifact.name))
    if not os.path.lexists(beside) or beside.is_dir():  # a folder cannot be replaced by a file anyway
        return
    try:
        Contract.from_json(_read(beside))
    except ArtifactError as error:
        raise OutputError(
            "A file that policypress did not write has the name of the artifact's sidecar.",
            got=str(beside),
            expected=f"no {beside.name}, or one of policypress",
            hint=f"Move {beside.name} elsewhere, or choose another name for the artifact or another folder.",
        ) from error


def check_pair(artifact: Path, content: bytes | None = None) -> None:
    """Refuse an artifact beside which lies the sidecar of another one. Without a sidecar it is whole by itself.

    Args:
        artifact: the ONNX file, one that carries a contract.
        content: what was read of it, if it was.

    Raises:
        ArtifactError: the sidecar is of another file, or cannot be read.
    """
    beside = artifact.with_name(sidecar_name(artifact.name))
    if not beside.is_file():
        return
    stated = _read(beside).get(HASH)
    if stated is None:
        return
    try:
        found = hashlib.sha256(artifact.read_bytes() if content is None else content).hexdigest()
    except OSError as error:
        raise ArtifactError("The artifact cannot be read.", got=f"{artifact}: {error}", expected="a file") from error
    if stated != found:
        raise ArtifactError(
            "The artifact and its sidecar do not belong together.",
            got=f"{artifact.name} with {HASH} {found}; {beside.name} for {HASH} {str(stated)[:64]}",
            expected="two files of one export",
            hint=f"Export again. If {artifact.name} is the right one, remove {beside.name}: the artifact contains "
            "the contract.",
        )


def contract_beside(artifact: Path) -> Contract | None:
    """The contract in the artifact's sidecar, which may know a return that was measured later; None without one.

    Raises:
        ArtifactError: it cannot be read, or is no contract.
    """
    beside = artifact.with_name(sidecar_name(artifact.name))
    return Contract.from_json(_read(beside)) if beside.is_file() else None


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(read_regular(path, limit_bytes=_MOST_BYTES, error=ArtifactError))
        if not isinstance(data, dict):
            raise ValueError(f"a {type(data).__name__}")
    except (ArtifactError, OSError, ValueError, RecursionError) as error:
        raise ArtifactError(
            "The artifact's sidecar cannot be read.",
            got=f"{path.name}: {error.got if isinstance(error, ArtifactError) else error}",
            expected="the contract as JSON, as `policypress export` writes it",
            hint=f"Export again, or remove {path.name}: the artifact contains the contract.",
        ) from error
    return data
