"""Which recipes beat which: the Pareto order of packed size and return kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from policypress.report.grid.outcomes import Outcome
from policypress.report.studies.estimates import Estimate

Place = tuple[float, float]
"""Packed bytes, and the share of the return that is kept."""


def dominators(places: Mapping[str, Place]) -> dict[str, tuple[str, ...]]:
    """Name → the names that are no larger and keep no less, and are better in one; the smallest first.

    >>> dominators({"a": (100.0, 0.9), "b": (200.0, 0.8), "c": (50.0, 0.5)})
    {'a': (), 'b': ('a',), 'c': ()}
    """
    return {
        name: tuple(
            sorted((other for other in places if _beats(places[other], place)), key=lambda other: places[other])
        )
        for name, place in places.items()
    }


def ranked(baseline: Outcome, outcomes: Sequence[Outcome], *, known: bool) -> tuple[Outcome, tuple[Outcome, ...]]:
    """The baseline and the outcomes of one agent with what dominates each.

    ``known`` is whether the baseline has learned: of one that has not, nothing is said.
    """
    if not known:
        return baseline, tuple(outcomes)
    places = {one.recipe: place for one in (baseline, *outcomes) if (place := _place(one)) is not None}
    found = dominators(places)
    first, *rest = (replace(one, dominated_by=found.get(one.recipe)) for one in (baseline, *outcomes))
    return first, tuple(rest)


def _place(one: Outcome) -> Place | None:
    packed = one.cost("packed_bytes").absolute
    if isinstance(packed, Estimate) and isinstance(one.retention, Estimate):
        return packed.value, one.retention.value
    return None


def _beats(one: Place, other: Place) -> bool:
    return one[0] <= other[0] and one[1] >= other[1] and one != other
