"""Result rows: frozen, versioned, SI units, raw samples. What the store holds and what workers return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from policypress.seeding import episode_seeds

RECORD_VERSION = 1

Ending = Literal["terminated", "truncated", "step_limit"]
Source = Literal["measured", "modelled"]


@dataclass(frozen=True)
class EpisodeRecord:
    """One evaluation episode.

    ``episode_return`` is the undiscounted sum of raw rewards; ``length`` counts environment steps;
    ``cpu_s`` is process CPU time of the whole episode, environment included; ``fell`` is whether the key of ``info``
    that the protocol names was true at any step, None where no step had it or none is named.
    """

    seed: int
    episode_return: float
    length: int
    ending: Ending
    cpu_s: float
    fell: bool | None = None


@dataclass(frozen=True)
class ArtifactRecord:
    """What was built for one recipe, before anything ran.

    ``packed_bytes``: weights, biases, scales and normaliser as a device would hold them;
    ``file_bytes``: the ONNX file; ``macs``: multiply-accumulates of one action;
    ``channel_ratio``/``parameter_ratio``: share of hidden channels / of fp32 parameters removed;
    ``action_error``: mean absolute difference to the baseline's action on held-out observations, as a
    share of the action range (continuous), or share of actions that differ (discrete);
    ``runtime``: of its evaluation and cost measurement.
    """

    recipe: str
    recipe_hash: str
    path: str
    sha256: str
    file_bytes: int
    packed_bytes: int
    parameters: int
    macs: int
    channel_ratio: float
    parameter_ratio: float
    action_error: float | None
    parity_max_error: float
    build_s: float
    notices: tuple[str, ...] = ()
    runtime: str = "onnxruntime"
    version: int = field(default=RECORD_VERSION)

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return {**asdict(self), "notices": list(self.notices)}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> ArtifactRecord:
        """Inverse of :meth:`to_json`."""
        return ArtifactRecord(**{**data, "notices": tuple(data["notices"])})


@dataclass(frozen=True)
class Measurement:
    """Raw samples of one quantity.

    ``unit`` is SI (``s``, ``B``, ``J``); ``source`` says whether the samples were measured or modelled;
    ``protocol`` and ``machine`` are the JSON of how and where.
    """

    quantity: str
    unit: str
    samples: tuple[float, ...]
    protocol: Mapping[str, Any]
    machine: Mapping[str, Any]
    source: Source = "measured"
    seed: int | None = None
    version: int = field(default=RECORD_VERSION)


@dataclass(frozen=True)
class EvaluationProtocol:
    """How returns are measured: which seeds, how many episodes, a step limit if the environment has none.

    ``runtime`` is what acts (``native``, ``onnxruntime``, or empty for random actions): the last bits of an action
    differ between runtimes, and chaotic environments make another episode of that. ``masked``: only actions that the
    environment's ``action_masks()`` allow, where it has them. ``fall_key`` is the key of ``info`` that marks a fall.
    """

    episodes: int
    seed: int = 0
    purpose: str = "evaluation"
    max_steps: int | None = None
    runtime: str = "onnxruntime"
    masked: bool = False
    fall_key: str = ""
    version: int = field(default=RECORD_VERSION)

    def seeds(self) -> tuple[int, ...]:
        """Environment seeds of the episodes, in order."""
        return episode_seeds(self.seed, self.purpose, self.episodes)

    def to_json(self) -> dict[str, Any]:
        """JSON form; part of a cell's key, which is what it was before there were masks and marks of falls."""
        return {name: value for name, value in vars(self).items() if name not in ("masked", "fall_key") or value}
