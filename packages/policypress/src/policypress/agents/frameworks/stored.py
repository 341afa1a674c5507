"""A checkpoint file as nested data: sections by name, and the tensors of a section when they are asked for.

Nothing is executed and no tensor is read that nobody asks for: optimizers and critics stay in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from policypress.agents.bundle import Array
from policypress.agents.frameworks.safetensors import is_safetensors, read_safetensors
from policypress.agents.pickles.tensors import Checkpoint, Tensor
from policypress.agents.sb3.tensors import checkpoint_of, finite_arrays


@dataclass(frozen=True)
class Stored:
    """What one file holds.

    Args:
        label: what to call the file in messages.
        checkpoint: the file; its metadata are nested mappings with names of tensors in place of their numbers.
        size_bytes: of the file.
    """

    label: str
    checkpoint: Checkpoint
    size_bytes: int

    @property
    def top(self) -> object:
        """Everything."""
        return self.checkpoint.metadata

    def section(self, name: str) -> Mapping[Any, Any]:
        """The mapping under ``name``; empty where there is none."""
        found = self.top.get(name) if isinstance(self.top, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    def flat(self) -> Mapping[Any, Any]:
        """The file itself where it is one mapping of tensors, as ``torch.save(module.state_dict())`` writes it."""
        top = self.top
        return top if isinstance(top, Mapping) and all(isinstance(value, Tensor) for value in top.values()) else {}

    def arrays(self, tensors: Mapping[Any, Any], prefix: str = "") -> dict[str, Array]:
        """The numbers of those ``tensors`` whose names begin with ``prefix``, under their names without it.

        Raises:
            DamagedAgentError: they are not stored in full, or not finite.
        """
        chosen = {name: value for name, value in tensors.items() if isinstance(value, Tensor) and _begins(name, prefix)}
        arrays = finite_arrays(chosen, self.checkpoint, self.size_bytes, self.label)
        return {name.removeprefix(prefix): array for name, array in arrays.items()}


def _begins(name: object, prefix: str) -> bool:
    return isinstance(name, str) and name.startswith(prefix)


def stored_in(content: bytes, label: str) -> Stored:
    """What a file of PyTorch or safetensors holds.

    Raises:
        UnsafeAgentError: its pickle asks for more than tensors and numbers.
        DamagedAgentError: it is truncated, or lies about its sizes.
    """
    read = read_safetensors if is_safetensors(content) else _of_torch
    return Stored(label, read(content, label), len(content))


def _of_torch(content: bytes, label: str) -> Checkpoint:
    return checkpoint_of(content, label, whole_training=True)
