"""Tensors of a PyTorch checkpoint as float32 numpy arrays, without executing what it pickles.

``torch.load(weights_only=True)`` builds tensors and containers and refuses every other global.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping

import numpy as np
import torch

from policypress.agent.archive import Archive
from policypress.agent.bundle import Array
from policypress.errors import DamagedAgentError, UnsafeAgentError

# torch's own words for "this pickle wants more than tensors".
_REFUSALS = (
    "Unsupported global",
    "unsupported GLOBAL",
    "not an allowed global",
    "Can only create new object",
    "Trying to call reduce",
    "Can only build Tensor",
)
# Tensors may share one storage (an extractor stands under up to three names), so their sum may exceed the file.
_SHARED_STORAGE_FACTOR = 8
_SLACK_BYTES = 1024**2


def read_tensors(content: bytes, label: str) -> dict[str, Array]:
    """The checkpoint's tensors by name.

    Args:
        content: the file as ``torch.save`` wrote it, in today's zip form or the older pickle form.
        label: what to call it in messages.

    Raises:
        UnsafeAgentError: its pickle asks for anything but tensors.
        DamagedAgentError: it is truncated, or holds something else than finite real tensors.
    """
    if zipfile.is_zipfile(io.BytesIO(content)):
        Archive(content, label)
    loaded = _load(content, label)
    if not isinstance(loaded, Mapping):
        raise _not_tensors(label, type(loaded).__name__)
    budget_bytes = _SHARED_STORAGE_FACTOR * len(content) + _SLACK_BYTES
    arrays: dict[str, Array] = {}
    for name, tensor in loaded.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise _not_tensors(label, f"{name!r}: {type(tensor).__name__}")
        # A stride of zero lets a few bytes claim to be terabytes.
        budget_bytes -= tensor.numel() * tensor.element_size()
        if budget_bytes < 0:
            raise DamagedAgentError(
                f"{label}: its tensors claim more content than the file has.",
                got=f"{name!r} of shape {tuple(tensor.shape)} in a file of {len(content)} bytes",
                expected="tensors that are stored in full",
            )
        arrays[name] = _to_float32(name, tensor, label)
    return arrays


def _load(content: bytes, label: str) -> object:
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error)
        if any(words in reason for words in _REFUSALS):
            raise UnsafeAgentError(
                f"{label} pickles more than tensors; loading it would execute code from the file.",
                got=_first_refusal(reason),
                expected="tensors only",
                hint="Do not load this file with anything else either, unless you trust its author.",
            ) from error
        raise _damaged(label, error) from error
    # Truncated storages, unknown devices, wrong sizes: torch raises a zoo of types for damaged files.
    except Exception as error:
        raise _damaged(label, error) from error


def _first_refusal(reason: str) -> str:
    for line in reason.splitlines():
        if any(words in line for words in _REFUSALS):
            return line.strip().split(" Please use")[0]
    return reason


def _damaged(label: str, error: Exception) -> DamagedAgentError:
    return DamagedAgentError(
        f"{label} is damaged.",
        got=(str(error).splitlines() or [""])[0] or type(error).__name__,
        expected="a complete file as torch.save writes it",
        hint="Download or copy the file again.",
    )


def _not_tensors(label: str, got: str) -> DamagedAgentError:
    return DamagedAgentError(f"{label} is not a state dict.", got=got, expected="tensors by name")


def _to_float32(name: str, tensor: torch.Tensor, label: str) -> Array:
    try:
        if tensor.is_complex():
            raise TypeError("complex numbers")
        array: Array = tensor.detach().to(torch.float32).numpy()
    # Sparse, quantized or storage-less tensors have no numpy form, each with another exception.
    except Exception as error:
        raise DamagedAgentError(
            f"{label}: {name!r} is not a dense real tensor.",
            got=f"{tensor.dtype}, {tensor.layout}: {error}",
            expected="a dense tensor of real numbers",
        ) from error
    if not np.isfinite(array).all():
        raise DamagedAgentError(
            f"{label}: {name!r} is not finite.",
            got=f"{int((~np.isfinite(array)).sum())} of {array.size} numbers are NaN or infinite",
            expected="finite weights",
            hint="Training diverged or the file is damaged; use an earlier checkpoint.",
        )
    return array
