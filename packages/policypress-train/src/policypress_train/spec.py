"""What to train: a frozen, hashable description that goes into records, checkpoints and studies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from policypress.agents.algorithm_names import AlgorithmName
from policypress.training_package import Update as Update
from policypress_runtime.contract import EnvironmentSpec
from policypress_train.qat.config import QatConfig

SPEC_VERSION = 1
_HOW = ("device", "update", "start_from", "start_normalizer")


@dataclass(frozen=True)
class TrainingSpec:
    """One training run; the same spec gives the same agent (same machine, versions and number of threads).

    Attributes:
        algorithm: one of the six.
        environment: id, arguments and wrappers.
        steps: environment steps to learn from; algorithms that learn in rounds finish the last round. With
            ``episodes``, how many steps the schedules (exploration, learning rates) run over.
        seed: of everything random.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        hyperparameters: those that differ from the library's defaults, as plain data, by the RL Zoo's names.
        kernels: name of the native update's kernel set that alone may learn, or None for the machine's best. Kernels
            round differently; an agent that is to be compared with another is pinned to the other's, and being part of
            what was asked for, it is in the hash.
        update: ``stock`` is the library's own gradient step, ``fast`` the hand-tuned one, ``native`` the same in C,
            ``auto`` native if it is supported, else fast. Update and device change only rounding: they are not in
            the hash, and a training may be resumed with another.
        qat: quantization-aware training, or None for fp32.
        start_from: the zip of a trained agent whose networks are fine-tuned, or None; where it is, not what, so it is
            not in the hash.
        start_sha256: of that file.
        start_normalizer: the normalisation statistics that the user states of it, or ``none``; where they are, not
            what, so not in the hash (``start_sha256`` counts them).
        sparse: ``alpha`` and ``strength`` of the group-sparsity regulariser, or None.
        prune: share of the acting weights that are pruned gradually by magnitude, or None.
        episodes: the training ends with the end of this episode, however many steps that takes; None for ``steps``.
    """

    algorithm: AlgorithmName
    environment: EnvironmentSpec
    steps: int
    seed: int = 0
    device: str = "cpu"
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    update: Update = "fast"
    kernels: str | None = None
    qat: QatConfig | None = None
    start_from: str | None = None
    start_sha256: str | None = None
    start_normalizer: str | None = None
    sparse: Mapping[str, float] | None = None
    prune: float | None = None
    episodes: int | None = None
    version: int = field(default=SPEC_VERSION)

    def to_json(self) -> dict[str, Any]:
        """JSON form; what is None is left out, so that a new optional field moves no hash."""
        stored = {
            "algorithm": self.algorithm,
            "environment": self.environment.to_json(),
            "steps": self.steps,
            "seed": self.seed,
            "device": self.device,
            "hyperparameters": dict(self.hyperparameters),
            "update": self.update,
            "kernels": self.kernels,
            "qat": None if self.qat is None else asdict(self.qat),
            "start_from": self.start_from,
            "start_sha256": self.start_sha256,
            "start_normalizer": self.start_normalizer,
            "sparse": None if self.sparse is None else dict(self.sparse),
            "prune": self.prune,
            "episodes": self.episodes,
            "version": self.version,
        }
        return {name: value for name, value in stored.items() if value is not None}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> TrainingSpec:
        """Inverse of :meth:`to_json`."""
        qat = data.get("qat")
        return TrainingSpec(
            **{
                **data,
                "environment": EnvironmentSpec.from_json(data["environment"]),
                "qat": None if qat is None else QatConfig(**qat),
            }
        )

    @property
    def hash(self) -> str:
        """Identity of the result: SHA-256 of the canonical JSON without device and update, 16 hexadecimal digits."""
        stored = {name: value for name, value in self.to_json().items() if name not in _HOW}
        text = json.dumps(stored, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]
