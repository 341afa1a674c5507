"""What comes before an agent's cells and is done once: its training, where the study trains it, and its rollouts.

The files are kept below the study's folder and recognised again by their sha256; nothing in them is executed.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from policypress.agents.array_file import read_arrays
from policypress.compression.pipeline import CalibrationData
from policypress.environments.batches import ObservationBatch
from policypress_runtime.atomic_write import sweep_partial, write_atomic
from policypress_runtime.errors import DamagedAgentError, ExecutionError, StudyInputError

FOLDER = "agents"
AGENT_FILE = "agent.zip"
CALIBRATION_FILE = "materials.npz"
_PARTS = ("calibration", "held_out", "parity")
_EPISODE = "episode"
_SINGLE = "/"
# Observations of any agent; what is larger was not written here.
_MOST_BYTES = 4 * 1024**3


@dataclass(frozen=True)
class PreparedAgent:
    """An agent that is ready to be pressed.

    Args:
        files: path → content: the rollouts, and the agent itself where the study trained it. Paths are relative to
            the agent's folder, at most one folder deep.
        training: the training record as JSON; empty where the agent was given.
        notices: for the user.
    """

    files: Mapping[str, bytes]
    training: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


def place_of(folder: Path, identity: str) -> Path:
    """Folder of the agent ``identity`` in a study's folder."""
    return folder / FOLDER / identity[:16]


def publish(folder: Path, identity: str, prepared: PreparedAgent) -> dict[str, str]:
    """Write the agent's files; each appears whole, or not at all.

    Returns:
        Path relative to ``folder`` → sha256.

    Raises:
        ExecutionError: a path leads out of the agent's folder.
        OutputError: a file cannot be written.
    """
    digests = {}
    for name, content in prepared.files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not 1 <= len(path.parts) <= 2:
            raise ExecutionError("An agent's file has an invalid path.", got=repr(name), expected="file or folder/file")
        write_atomic(place_of(folder, identity) / path, content)
        digests[str(PurePosixPath(FOLDER) / identity[:16] / path)] = hashlib.sha256(content).hexdigest()
    return digests


def intact(folder: Path, digests: Mapping[str, str]) -> bool:
    """Whether every file is there and is what was written."""
    for path, digest in digests.items():
        try:
            content = (folder / path).read_bytes()
        except OSError:
            return False
        if hashlib.sha256(content).hexdigest() != digest:
            return False
    return True


def remove_partial(folder: Path) -> None:
    """Remove what a killed driver had half written."""
    for inner in (folder / FOLDER).glob("**/"):
        sweep_partial(inner, ours=True)


def pack(materials: CalibrationData) -> bytes:
    """The observations of ``materials`` as an ``.npz`` file; equal observations give equal bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        batches = {part: getattr(materials, part) for part in _PARTS}
        batches |= {f"{_EPISODE}{number}": episode for number, episode in enumerate(materials.episodes)}
        for part, batch in batches.items():
            arrays = batch if isinstance(batch, Mapping) else {_SINGLE: batch}
            for key, values in sorted(arrays.items()):
                item = io.BytesIO()
                np.lib.format.write_array(item, np.ascontiguousarray(values), allow_pickle=False)
                # A fixed date: the file's bytes are its identity.
                info = zipfile.ZipInfo(f"{part}:{key}.npy", (1980, 1, 1, 0, 0, 0))
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, item.getvalue())
    return content.getvalue()


def unpack(path: Path) -> CalibrationData:
    """Inverse of :func:`pack`, from a file.

    Raises:
        StudyInputError: it is no such file.
    """
    try:
        found = read_arrays(path, limit_bytes=_MOST_BYTES)
        calibration, held_out, parity = (_part(found, part) for part in _PARTS)
        count = len({name.partition(":")[0] for name in found if name.startswith(_EPISODE)})
        episodes = tuple(_part(found, f"{_EPISODE}{number}") for number in range(count))
    except (DamagedAgentError, OSError, ValueError, KeyError) as error:
        raise StudyInputError(
            "An agent's observations cannot be read.",
            got=f"{path}: {(error.got or error.message) if isinstance(error, DamagedAgentError) else error}",
            hint="Delete the file and run the study again.",
        ) from error
    return CalibrationData(calibration, held_out, parity, episodes=episodes)


def _part(found: Mapping[str, Any], part: str) -> ObservationBatch:
    arrays = {name.partition(":")[2]: values for name, values in found.items() if name.startswith(f"{part}:")}
    if not arrays:
        raise KeyError(part)
    return arrays[_SINGLE] if set(arrays) == {_SINGLE} else arrays
