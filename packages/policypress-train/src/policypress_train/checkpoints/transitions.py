"""The replay buffer on disk: each checkpoint writes only new transitions, to files that never change."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.buffers import ReplayBuffer

from policypress.agents.array_file import read_arrays
from policypress_runtime.atomic_write import write_atomic
from policypress_runtime.errors import TrainingInputError

_PARTS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
# Names, headers and checksums of a file of ours.
_HEADERS_BYTES = 2**20
_NAME = re.compile(r"transitions-(\d+)-(\d+)\.npz")


def arrays_of(buffer: ReplayBuffer) -> dict[str, npt.NDArray[Any]]:
    """The buffer's arrays by name, (rows, environments, …) each; those of dict observations as ``part/key``."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    for part in _PARTS:
        stored = getattr(buffer, part, None)
        if isinstance(stored, dict):
            arrays |= {f"{part}/{key}": array for key, array in stored.items()}
        elif stored is not None:
            arrays[part] = stored
    return arrays


def save_new(folder: Path, buffer: ReplayBuffer, start: int, stop: int) -> str:
    """Write rows ``start`` to ``stop``, counted since the training began, and give the file's name.

    Raises:
        OutputError: the folder cannot be written.
    """
    rows = np.arange(max(start, stop - buffer.buffer_size), stop) % buffer.buffer_size
    arrays = {name: array[rows] for name, array in arrays_of(buffer).items()}
    content = io.BytesIO()
    pictures = any(array.dtype == np.uint8 for array in arrays.values())
    (np.savez_compressed if pictures else np.savez)(content, **arrays)  # type: ignore[arg-type]  # names are ours
    name = f"transitions-{start}-{stop}.npz"
    write_atomic(folder / name, content.getvalue())
    return name


def load(folder: Path, buffer: ReplayBuffer, names: Sequence[str], total: int) -> None:
    """Fill an empty buffer from the files; ``total`` rows were added since the training began.

    Raises:
        TrainingInputError: a file is missing or damaged.
    """
    arrays = arrays_of(buffer)
    for name in names:
        try:
            start, stop = _range(name)
            rows = np.arange(max(start, stop - buffer.buffer_size), stop) % buffer.buffer_size
            needed = sum(array[:1].nbytes * len(rows) for array in arrays.values())
            stored = read_arrays(folder / name, limit_bytes=needed + _HEADERS_BYTES)
            for part, array in arrays.items():
                array[rows] = stored[part]
        except Exception as error:
            raise TrainingInputError(
                "The checkpoint's replay buffer cannot be read.",
                got=f"{folder / name}: {error}",
                expected="the files that the training wrote",
                hint=f"Delete {folder} to restart this training.",
            ) from error
    buffer.pos, buffer.full = total % buffer.buffer_size, total >= buffer.buffer_size


def still_needed(names: Sequence[str], total: int, size: int) -> list[str]:
    """The files with rows that a buffer of ``size`` rows has not overwritten after ``total`` rows."""
    return [name for name in names if _range(name)[1] > total - size]


def remove_others(folder: Path, names: Sequence[str]) -> None:
    """Delete files of transitions that no checkpoint names."""
    for path in folder.glob("transitions-*.npz"):
        if path.name not in names:
            path.unlink(missing_ok=True)


def _range(name: str) -> tuple[int, int]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise TrainingInputError("The checkpoint names a file that does not belong to it.", got=repr(name))
    return int(match[1]), int(match[2])
