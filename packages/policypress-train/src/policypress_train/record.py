"""The record of a training: episodes, evaluations, times, memory, versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

RECORD_VERSION = 1


@dataclass
class Episodes:
    """Finished training episodes, in columns.

    Attributes:
        step: environment steps done when the episode ended.
        episode_return: undiscounted sum of raw rewards, with exploration.
        length: environment steps of the episode.
        duration_s: wall-clock seconds from its first to its last step, learning in between included.
        wall_s: wall-clock seconds of training when it ended.
        cpu_s: process CPU seconds of training when it ended.
    """

    step: list[int] = field(default_factory=list)
    episode_return: list[float] = field(default_factory=list)
    length: list[int] = field(default_factory=list)
    duration_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def add(
        self, step: int, episode_return: float, length: int, duration_s: float, wall_s: float, cpu_s: float
    ) -> None:
        """One more row."""
        self.step.append(step)
        self.episode_return.append(episode_return)
        self.length.append(length)
        self.duration_s.append(round(duration_s, 6))
        self.wall_s.append(round(wall_s, 3))
        self.cpu_s.append(round(cpu_s, 3))


@dataclass(frozen=True)
class TrainingEvaluation:
    """Deterministic evaluation episodes during training, in a separate environment.

    ``returns`` are of raw rewards; ``seeds`` of the environment are the same at every step.
    """

    step: int
    seeds: tuple[int, ...]
    returns: tuple[float, ...]
    lengths: tuple[int, ...]

    @property
    def mean_return(self) -> float:
        """Mean over the episodes."""
        return sum(self.returns) / len(self.returns)

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> TrainingEvaluation:
        """Inverse of :meth:`to_json`."""
        return TrainingEvaluation(data["step"], *(tuple(data[name]) for name in ("seeds", "returns", "lengths")))


@dataclass(frozen=True)
class TrainingMemory:
    """Memory of the training process, in bytes.

    Attributes:
        peak_rss_bytes: largest resident set of the process.
        before_rss_bytes: resident set before the algorithm was set up: interpreter, libraries, environments.
        acting_bytes: parameters and buffers of the acting network.
        value_bytes: of value networks and target networks.
        optimizer_bytes: the optimizers' state.
        replay_bytes: rows of the replay (or rollout) buffer that were used.
        replay_reserved_bytes: the whole buffer.
        first_in_process: whether the process had done nothing else before, so that its resident set is this training's;
            None where that was not recorded.
    """

    peak_rss_bytes: int
    before_rss_bytes: int
    acting_bytes: int
    value_bytes: int
    optimizer_bytes: int
    replay_bytes: int
    replay_reserved_bytes: int
    first_in_process: bool | None = None


@dataclass(frozen=True)
class TrainingRecord:
    """One training.

    Attributes:
        spec: the spec's JSON.
        spec_hash: the spec's hash.
        source: where the hyperparameters come from, and what was overridden.
        steps: environment steps done.
        wall_s: wall-clock seconds of training, evaluations and checkpoints included, over all resumptions.
        cpu_s: process CPU seconds, likewise.
        threads: of torch.
        kernels: name of the kernels of the native update that learned last, or None.
        resumed: for each resumption the step, and whether the environments were exactly where they had been.
        versions: of the packages that can change the result.
    """

    spec: Mapping[str, Any]
    spec_hash: str
    source: str
    steps: int
    episodes: Episodes
    evaluations: tuple[TrainingEvaluation, ...]
    wall_s: float
    cpu_s: float
    threads: int
    memory: TrainingMemory
    versions: Mapping[str, str]
    resumed: tuple[tuple[int, bool], ...] = ()
    kernels: str | None = None
    version: int = RECORD_VERSION

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return {
            **{name: getattr(self, name) for name in ("version", "spec", "spec_hash", "source", "steps")},
            "wall_s": self.wall_s,
            "cpu_s": self.cpu_s,
            "threads": self.threads,
            "memory": asdict(self.memory),
            "versions": dict(self.versions),
            **({} if self.kernels is None else {"kernels": self.kernels}),
            "resumed": [{"step": step, "exact": exact} for step, exact in self.resumed],
            "evaluations": [evaluation.to_json() for evaluation in self.evaluations],
            "episodes": asdict(self.episodes),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> TrainingRecord:
        """Inverse of :meth:`to_json`."""
        return TrainingRecord(
            **{
                **data,
                "memory": TrainingMemory(**data["memory"]),
                "resumed": tuple((item["step"], item["exact"]) for item in data["resumed"]),
                "evaluations": tuple(TrainingEvaluation.from_json(item) for item in data["evaluations"]),
                "episodes": Episodes(**data["episodes"]),
            }
        )
