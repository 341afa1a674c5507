"""Tensors of a PyTorch checkpoint as float32 numpy arrays, without executing what it pickles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from policypress.agents.bundle import Array
from policypress.agents.pickles.tensors import Checkpoint, NotTensorsError, Tensor, read_checkpoint
from policypress_runtime.errors import AgentError, DamagedAgentError
from policypress_runtime.reading_limits import shown

# Tensors may share one storage (an extractor stands under up to three names), so their sum may exceed the file.
_SHARED_STORAGE_FACTOR = 8
_SLACK_BYTES = 1024**2
_FLOAT_BYTES = 4


def read_tensors(content: bytes, label: str) -> dict[str, Array]:
    """The checkpoint's tensors by name.

    Args:
        content: the file as ``torch.save`` wrote it, in today's zip form or the older pickle form.
        label: what to call it in messages.

    Raises:
        UnsafeAgentError: its pickle asks for anything but tensors.
        DamagedAgentError: it is truncated, or holds something else than finite real tensors.
    """
    checkpoint = checkpoint_of(content, label)
    if not isinstance(checkpoint.metadata, Mapping):
        raise _not_tensors(label, type(checkpoint.metadata).__name__)
    return finite_arrays(checkpoint.metadata, checkpoint, len(content), label)


def finite_arrays(tensors: Mapping[Any, Any], checkpoint: Checkpoint, size_bytes: int, label: str) -> dict[str, Array]:
    """Tensors of a checkpoint by name, as float32.

    Args:
        tensors: one of the checkpoint's mappings.
        checkpoint: holds their numbers.
        size_bytes: of the file.
        label: what to call it in messages.

    Raises:
        DamagedAgentError: something else than tensors, ones that claim more than the file has, or that are not finite.
    """
    budget_bytes = _SHARED_STORAGE_FACTOR * size_bytes + _SLACK_BYTES
    arrays: dict[str, Array] = {}
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise _not_tensors(label, f"{shown(name)}: {type(tensor).__name__}")
        # A stride of zero lets a few bytes claim to be terabytes.
        budget_bytes -= math.prod(tensor.shape) * _FLOAT_BYTES
        if budget_bytes < 0:
            raise DamagedAgentError(
                f"{label}: its tensors claim more content than the file has.",
                got=f"{shown(name)} of shape {tensor.shape} in a file of {size_bytes} bytes",
                expected="tensors that are stored in full",
            )
        arrays[name] = _to_float32(name, tensor, checkpoint, label)
    return arrays


def checkpoint_of(content: bytes, label: str, *, whole_training: bool = False) -> Checkpoint:
    """What ``torch.save`` wrote; ``whole_training`` as of :func:`~policypress.agents.pickles.tensors.read_checkpoint`.

    Raises:
        UnsafeAgentError: its pickle asks for anything but tensors.
        DamagedAgentError: it is truncated, or holds tensors that are not dense.
    """
    try:
        return read_checkpoint(content, label, whole_training=whole_training)
    except AgentError:
        raise
    except NotTensorsError as error:
        raise DamagedAgentError(
            f"{label} holds more than dense real tensors.",
            got=str(error)[:200],
            expected="dense tensors of real numbers",
        ) from error
    # Damaged pickles raise nearly everything: EOFError, IndexError, struct.error, UnicodeDecodeError, ...
    except Exception as error:
        raise DamagedAgentError(
            f"{label} is damaged.",
            got=(str(error).splitlines() or [""])[0][:200] or type(error).__name__,
            expected="a complete file as torch.save writes it",
            hint="Download or copy the file again.",
        ) from error


def _not_tensors(label: str, got: str) -> DamagedAgentError:
    return DamagedAgentError(f"{label} is not a state dict.", got=got, expected="tensors by name")


def _to_float32(name: str, tensor: Tensor, checkpoint: Checkpoint, label: str) -> Array:
    try:
        with np.errstate(over="ignore"):  # what overflows becomes infinite, and is refused as such
            array: Array = np.array(checkpoint.numbers(tensor), dtype=np.float32, order="C")
    except AgentError:
        raise
    # A storage that is not there, or is shorter than its tensor.
    except Exception as error:
        raise DamagedAgentError(
            f"{label}: tensor {shown(name)} is damaged.",
            got=f"shape {tensor.shape}: {error}",
            expected="a tensor that is stored in full",
            hint="Download or copy the file again.",
        ) from error
    if not np.isfinite(array).all():
        raise DamagedAgentError(
            f"{label}: {shown(name)} is not finite.",
            got=f"{int((~np.isfinite(array)).sum())} of {array.size} numbers are NaN or infinite",
            expected="finite weights",
            hint="Training diverged or the file is damaged; use an earlier checkpoint.",
        )
    return array
