"""The history of a search as plain data: all candidates, all certificates, and why the winner won. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from policypress.measurement.certificate.certifying import Certificate

Ending = Literal["certified", "nothing certified", "refused", "interrupted"]
Stage = Literal["failed", "built", "raced", "promising", "certified", "not certified"]
Minimize = Literal["size", "latency", "energy", "macs"]
OBJECTIVES: tuple[Minimize, ...] = ("size", "latency", "energy", "macs")


@dataclass(frozen=True)
class CandidateResult:
    """The result of one candidate: the ``stage`` it reached, and why it went no further.

    ``value`` is what is minimized: bytes, multiply-accumulates, or the share of the baseline's latency or energy;
    None if nothing was built. ``episodes`` counts those used for the choice, without certification.
    """

    recipe: str
    stage: Stage
    reason: str
    value: float | None
    episodes: int


@dataclass(frozen=True)
class Certification:
    """One certification: the ``number``-th candidate, for which ``planned`` held-out pairs were expected to be enough.

    ``returns`` are the candidate's, ``baseline_returns`` the baseline's on the same seeds; neither is used for any
    choice.
    """

    number: int
    recipe: str
    planned: int
    certificate: Certificate
    returns: tuple[float, ...]
    baseline_returns: tuple[float, ...]


@dataclass(frozen=True)
class SearchHistory:
    """A whole search.

    ``summary`` is its end in a sentence; ``winner`` the recipe that was certified, or None: then the fp32 artifact
    is the best that qualifies. ``episodes`` counts all that the store has of this search, ``elapsed_s`` the seconds of
    the last call.
    """

    keep: float
    confidence: float
    minimize: Minimize
    ending: Ending
    summary: str
    winner: str | None
    tried: tuple[CandidateResult, ...]
    attempts: tuple[Certification, ...]
    deterministic: bool
    budget_s: float
    max_episodes: int
    episodes: int
    elapsed_s: float

    @property
    def certificate(self) -> Certificate | None:
        """The winner's."""
        won = self.won
        return None if won is None else won.certificate

    @property
    def won(self) -> Certification | None:
        """The winner's attempt; larger ones may have been certified before it."""
        return next((attempt for attempt in self.attempts if attempt.recipe == self.winner), None)

    def tried_of(self, recipe: str) -> CandidateResult | None:
        """What became of ``recipe``."""
        return next((tried for tried in self.tried if tried.recipe == recipe), None)

    def to_json(self) -> dict[str, Any]:
        """JSON form, as it stands in ``results.json``."""
        return {
            "keep": self.keep,
            "confidence": self.confidence,
            "minimize": self.minimize,
            "ending": self.ending,
            "summary": self.summary,
            "winner": self.winner,
            "deterministic": self.deterministic,
            "budget_s": self.budget_s,
            "max_episodes": self.max_episodes,
            "episodes": self.episodes,
            "elapsed_s": round(self.elapsed_s, 1),
            "tried": [vars(tried) for tried in self.tried],
            "attempts": [
                {
                    "number": attempt.number,
                    "recipe": attempt.recipe,
                    "planned": attempt.planned,
                    "certificate": attempt.certificate.to_json(),
                    "returns": list(attempt.returns),
                    "baseline_returns": list(attempt.baseline_returns),
                }
                for attempt in self.attempts
            ],
        }
