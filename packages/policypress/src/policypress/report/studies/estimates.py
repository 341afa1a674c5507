"""A number of the report: an estimate with its interval and what it counts, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from policypress.measurement.statistics import Interval, Missing

Unit = Literal["training seeds", "episodes of one agent"]
_CONFIDENCE = 0.95
NOT_MEASURED = Missing("not measured")


@dataclass(frozen=True)
class Estimate:
    """An estimate with its two-sided interval.

    Attributes:
        value: the estimate, in the unit of what it estimates (returns, seconds, bytes, joules, or a share).
        interval: of it; None where nothing can be said of chance (one run of something that is measured once).
        runs: how many training seeds are behind it.
        unit: what the interval resamples. With one training seed it is the episodes of that agent, and the interval
            says nothing of other trainings.
    """

    value: float
    interval: Interval | None
    runs: int
    unit: Unit

    @classmethod
    def whole(cls, known: Estimate) -> Estimate:
        """The share that something is of itself: 1, whatever its own interval."""
        return cls(1.0, Interval(1.0, 1.0, 1.0, _CONFIDENCE, "by definition"), known.runs, known.unit)

    @property
    def lower(self) -> float | None:
        """Lower bound; None without an interval."""
        return None if self.interval is None else self.interval.lower

    @property
    def upper(self) -> float | None:
        """Upper bound, likewise."""
        return None if self.interval is None else self.interval.upper

    def to_plain(self) -> dict[str, Any]:
        """JSON form, in which the interval is flat."""
        found = {"value": self.value, "lower": self.lower, "upper": self.upper, "runs": self.runs, "unit": self.unit}
        return {**found, "confidence": _CONFIDENCE if self.interval is None else self.interval.confidence}


MaybeEstimate = Estimate | Missing


@runtime_checkable
class HasPlainForm(Protocol):
    """What says itself how it stands in JSON."""

    def to_plain(self) -> Mapping[str, Any]:
        """Plain data, whose values may be anything of a report."""


def plain(value: Any) -> Any:
    """JSON form of anything in the report; :class:`Missing` is an object with a ``reason`` and nothing else.

    >>> plain(Missing("not measured"))
    {'reason': 'not measured'}
    """
    if isinstance(value, HasPlainForm):
        return plain(value.to_plain())
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
