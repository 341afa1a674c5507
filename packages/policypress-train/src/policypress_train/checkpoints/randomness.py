"""States of all random generators that a training uses, as data that can be saved and restored."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from gymnasium import Space

Tensors = dict[str, torch.Tensor]
_CUDA = "cuda"


def global_state() -> tuple[dict[str, Any], Tensors]:
    """Python's, numpy's and torch's global generators: plain data, and tensors."""
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    version, numbers, gauss = random.getstate()
    plain = {
        "python": [version, list(numbers), gauss],
        "numpy": [kind, [int(key) for key in keys], int(position), int(has_gauss), float(cached)],
    }
    tensors = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors |= {f"{_CUDA}{index}": state for index, state in enumerate(torch.cuda.get_rng_state_all())}
    return plain, tensors


def restore_global(plain: dict[str, Any], tensors: Tensors) -> None:
    """Inverse of :func:`global_state`."""
    version, numbers, gauss = plain["python"]
    random.setstate((version, tuple(numbers), gauss))
    kind, keys, position, has_gauss, cached = plain["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), position, has_gauss, cached))
    torch.set_rng_state(tensors["torch"])
    states = [tensors[name] for name in sorted(tensors) if name.startswith(_CUDA)]
    if states and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states)


def space_state(space: Space[Any]) -> dict[str, Any]:
    """State of a space's own generator, from which random actions are sampled."""
    return dict(space.np_random.bit_generator.state)


def restore_space(space: Space[Any], state: dict[str, Any]) -> None:
    """Inverse of :func:`space_state`."""
    space.np_random.bit_generator.state = state


class PreservedRandomState:
    """Context in which the global generators are restored at the end: evaluation must not change the training."""

    def __enter__(self) -> None:
        self._plain, self._tensors = global_state()

    def __exit__(self, *_: object) -> None:
        restore_global(self._plain, self._tensors)
