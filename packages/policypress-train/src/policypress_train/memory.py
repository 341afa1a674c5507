"""Memory of a training process, split into networks, optimizer and replay buffer."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import psutil
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.save_util import recursive_getattr

from policypress_train.algorithms import Algorithm
from policypress_train.record import TrainingMemory


def resident_bytes() -> int:
    """Resident set of this process now."""
    return int(psutil.Process().memory_info().rss)


def peak_resident_bytes() -> int:
    """Largest resident set of this process so far.

    On Linux from the process's own status: what ``getrusage`` says is inherited from the parent by a forked child.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


_trainings = 0


def begins_here() -> bool:
    """Count a training in this process; returns whether it is the first (later ones inherit others' memory)."""
    global _trainings
    _trainings += 1
    return _trainings == 1


def memory_of(
    model: BaseAlgorithm,
    algorithm: Algorithm,
    before_rss_bytes: int,
    peak_before: int = 0,
    first_in_process: bool | None = None,
) -> TrainingMemory:
    """The memory split of a trained model.

    Args:
        model: the algorithm object.
        algorithm: which one, to know the acting tensors.
        before_rss_bytes: resident set before the model was made.
        peak_before: peak of an earlier process of the same training.
        first_in_process: whether the process had trained nothing before.
    """
    tensors = model.policy.state_dict()
    acting = {name for name in tensors if name.startswith(algorithm.acting)}
    used, reserved = _buffer_bytes(model)
    return TrainingMemory(
        peak_rss_bytes=max(peak_resident_bytes(), peak_before),
        before_rss_bytes=before_rss_bytes,
        acting_bytes=_bytes(tensors[name] for name in acting),
        value_bytes=_bytes(tensor for name, tensor in tensors.items() if name not in acting),
        optimizer_bytes=_bytes(_optimizer_tensors(model)),
        replay_bytes=used,
        replay_reserved_bytes=reserved,
        first_in_process=first_in_process,
    )


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _optimizer_tensors(model: BaseAlgorithm) -> Iterable[torch.Tensor]:
    for name in model._get_torch_save_params()[0]:
        found = recursive_getattr(model, name)
        if isinstance(found, torch.optim.Optimizer):
            for state in found.state.values():
                yield from (value for value in state.values() if isinstance(value, torch.Tensor))


def _buffer_bytes(model: BaseAlgorithm) -> tuple[int, int]:
    """Bytes of the used rows, and of all."""
    buffer: Any = getattr(model, "replay_buffer", None) or getattr(model, "rollout_buffer", None)
    if buffer is None:
        return 0, 0
    reserved = sum(_array_bytes(value) for value in vars(buffer).values())
    rows = buffer.size() if getattr(model, "replay_buffer", None) is not None else buffer.buffer_size
    return reserved * rows // buffer.buffer_size, reserved


def _array_bytes(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return value.nbytes
    return sum(map(_array_bytes, value.values())) if isinstance(value, dict) else 0
