"""What disturbances do to a policy and to its baseline, as plain data. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from policypress.measurement.statistics import Interval, Missing
from policypress_runtime.contract import Box, Space, WrapperSpec


@dataclass(frozen=True)
class Condition:
    """A disturbed environment: a name, what it is in words, and the wrappers that make it."""

    name: str
    words: str
    wrappers: tuple[WrapperSpec, ...]


@dataclass(frozen=True)
class Disturbed:
    """One recipe under one condition.

    Scores are shares of the baseline's undisturbed score: ``baseline`` and ``own`` under the condition, and
    ``difference``, how much more ``own`` has. ``reason`` says why there is nothing.
    """

    condition: Condition
    recipe: str
    baseline: Interval | Missing
    own: Interval | Missing
    difference: Interval | Missing
    reason: str | None = None


@dataclass(frozen=True)
class Robustness:
    """Every recipe that was asked for under every condition, on ``episodes`` episodes each."""

    episodes: int
    rows: tuple[Disturbed, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON form, as it stands in ``results.json``."""
        return {
            "episodes": self.episodes,
            "conditions": [
                {
                    "condition": row.condition.name,
                    "words": row.condition.words,
                    "recipe": row.recipe,
                    "baseline": _described(row.baseline),
                    "score": _described(row.own),
                    "difference": _described(row.difference),
                    "reason": row.reason if row.reason is not None else _why(row.difference),
                }
                for row in self.rows
            ],
        }


def conditions(space: Space, deviations: Sequence[float] | None) -> tuple[Condition, ...]:
    """The conditions for an agent that observes ``space``.

    Args:
        space: of the observations.
        deviations: standard deviation of each dimension on the agent's own episodes; None for images.
    """
    found = [Condition("delay", "actions one step late", (WrapperSpec("ActionDelay", (("steps", 1),)),))]
    if isinstance(space, Box):
        scale: tuple[tuple[str, Any], ...] = () if deviations is None else (("scale", tuple(deviations)),)
        against = "of each dimension's spread" if deviations is not None else "of the pixels' range"
        for level in (0.05, 0.1):
            wrapper = WrapperSpec("ObservationNoise", (("level", level), *scale))
            found.append(Condition(f"noise {level:.0%}", f"Gaussian noise of {level:.0%} {against}", (wrapper,)))
    for quantity, factors in (("mass", (0.8, 1.2)), ("friction", (0.7, 1.3))):
        for factor in factors:
            words = f"all {'masses' if quantity == 'mass' else 'contact frictions'} times {factor:g}"
            wrapper = WrapperSpec("PhysicsScale", ((quantity, factor),))
            found.append(Condition(f"{quantity} × {factor:g}", words, (wrapper,)))
    return tuple(found)


def _described(value: Interval | Missing) -> dict[str, Any] | None:
    return None if isinstance(value, Missing) else dict(vars(value))


def _why(value: Interval | Missing) -> str | None:
    return value.reason if isinstance(value, Missing) else None
