"""A number of the report: an estimate with its interval and what it counts, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

from policypress.measurement.statistics import Missing

Unit = Literal["training seeds", "episodes of one agent"]
NOT_MEASURED = Missing("not measured")


@dataclass(frozen=True)
class Estimate:
    """An estimate with its two-sided interval.

    Attributes:
        value: the estimate, in the unit of what it estimates (returns, seconds, bytes, joules, or a share).
        lower: lower bound; None where nothing can be said of chance (one run of something that is measured once).
        upper: upper bound, likewise.
        runs: how many training seeds are behind it.
        unit: what the interval resamples. With one training seed it is the episodes of that agent, and the interval
            says nothing of other trainings.
        confidence: of the interval.
    """

    value: float
    lower: float | None
    upper: float | None
    runs: int
    unit: Unit
    confidence: float = 0.95


MaybeEstimate = Estimate | Missing


def plain(value: Any) -> Any:
    """JSON form of anything in the report; :class:`Missing` is an object with a ``reason`` and nothing else.

    >>> plain(Missing("not measured"))
    {'reason': 'not measured'}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
