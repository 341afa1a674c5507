"""Arrays of ``.npz`` and ``.npy`` files as data: sizes are those of the bytes that are there, never a header's."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from policypress.agents.archive import Archive, read_bytes

MAX_BYTES = 1024**3
_SUFFIX = ".npy"
_NPY, _ZIP = b"\x93NUMPY", b"PK"


def read_arrays(path: Path, alone: str = "", *, limit_bytes: int | None = None) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an ``.npz`` by name, or the one of an ``.npy`` under the name ``alone``.

    Args:
        path: the file.
        alone: name of the array of an ``.npy``.
        limit_bytes: of the file, and of its arrays together; 1 GiB where left out.

    Raises:
        DamagedAgentError: it cannot be read, is no regular file, or breaks a limit.
        ValueError: it is neither, its arrays hold objects, or its headers lie.
    """
    content = read_bytes(path, limit_bytes=limit_bytes or MAX_BYTES)
    if content.startswith(_NPY):
        return {alone: array_of(content)}
    if not content.startswith(_ZIP):
        raise ValueError("it is not a NumPy file")
    # Arrays of zeros compress by any ratio; what they are together is limited all the same.
    archive = Archive(content, path.name, max_ratio=None, max_content_bytes=limit_bytes, names_are_paths=False)
    return {
        name.removesuffix(_SUFFIX): array_of(archive.read(name)) for name in archive.names if name.endswith(_SUFFIX)
    }


def array_of(content: bytes) -> npt.NDArray[Any]:
    """The array in the bytes of an ``.npy`` file.

    Raises:
        ValueError: it is none, it holds objects, or its header promises other than what follows.
    """
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the format")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = read(file)
    except Exception as error:  # NumPy parses a header as Python, whose errors are of many types
        raise ValueError(f"a damaged header ({type(error).__name__})") from error
    there = len(content) - file.tell()
    if dtype.hasobject or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"an array of {str(dtype)[:60]}")
    if math.prod(shape) * dtype.itemsize != there or (dtype.itemsize == 0 and shape):
        raise ValueError(f"{there} bytes for an array of shape {shape} of {str(dtype)[:60]}")
    flat: npt.NDArray[Any] = np.frombuffer(content, dtype, offset=file.tell())
    # A copy, since torch does not take what may not be written to.
    return flat.reshape(shape, order="F" if fortran else "C").copy()
