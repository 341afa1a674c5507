"""The log of a training: stored in every checkpoint, and in the record at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from policypress_train.record import Episodes, TrainingEvaluation


@dataclass
class TrainingLog:
    """Episodes, evaluations and times, over all resumptions.

    Attributes:
        episodes: finished ones.
        evaluations: in order.
        resumed: steps, and whether exactly.
        peak_rss_bytes: largest resident set up to the last checkpoint.
    """

    episodes: Episodes = field(default_factory=Episodes)
    evaluations: list[TrainingEvaluation] = field(default_factory=list)
    resumed: list[tuple[int, bool]] = field(default_factory=list)
    peak_rss_bytes: int = 0
    _wall_before_s: float = 0.0
    _cpu_before_s: float = 0.0
    _wall_start_s: float = 0.0
    _cpu_start_s: float = 0.0
    _started: bool = False

    def start(self) -> None:
        """Start the clocks."""
        self._wall_start_s, self._cpu_start_s = time.monotonic(), time.process_time()
        self._started = True

    def wall_s(self) -> float:
        """Wall-clock seconds of training."""
        return self._wall_before_s + (time.monotonic() - self._wall_start_s if self._started else 0.0)

    def cpu_s(self) -> float:
        """Process CPU seconds of training."""
        return self._cpu_before_s + (time.process_time() - self._cpu_start_s if self._started else 0.0)

    def episode_ended(self, step: int, monitored: Mapping[str, Any], duration_s: float) -> None:
        """Add a finished episode from the library's monitor (``r`` return, ``l`` length)."""
        self.episodes.add(step, float(monitored["r"]), int(monitored["l"]), duration_s, self.wall_s(), self.cpu_s())

    def to_json(self) -> dict[str, Any]:
        """JSON form, with the current clocks."""
        return {
            "episodes": asdict(self.episodes),
            "evaluations": [evaluation.to_json() for evaluation in self.evaluations],
            "resumed": [list(item) for item in self.resumed],
            "peak_rss_bytes": self.peak_rss_bytes,
            "wall_s": self.wall_s(),
            "cpu_s": self.cpu_s(),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> TrainingLog:
        """Inverse of :meth:`to_json`; the clocks stand still until :meth:`start`."""
        return TrainingLog(
            episodes=Episodes(**data["episodes"]),
            evaluations=[TrainingEvaluation.from_json(item) for item in data["evaluations"]],
            resumed=[(int(step), bool(exact)) for step, exact in data["resumed"]],
            peak_rss_bytes=int(data["peak_rss_bytes"]),
            _wall_before_s=float(data["wall_s"]),
            _cpu_before_s=float(data["cpu_s"]),
        )
