"""A search without an environment: the smallest artifact whose actions stay within a stated error of the agent's.

With recorded observations no episode can be played, so nothing is claimed of the return.
"""

from __future__ import annotations

from collections.abc import Mapping

from policypress.records import ArtifactRecord
from policypress.search.ladders import coarse_to_fine, families
from policypress.search.objective import BASELINE


def untrained_recipes() -> tuple[str, ...]:
    """The recipes of a search that take no gradient steps: a few of every family, then all others."""
    texts = (recipe.text for _, recipes in coarse_to_fine(families(trained=False)) for recipe in recipes)
    return tuple(dict.fromkeys(texts))


def smallest_within(records: Mapping[str, ArtifactRecord], most: float) -> str | None:
    """The recipe of the fewest packed bytes, fewer than the baseline's, whose action error is at most ``most``.

    Args:
        records: recipe → artifact; the baseline's among them.
        most: mean difference of the action as a share of its range, or share of discrete actions that differ.
    """
    base = records.get(BASELINE)
    able = [
        (record.packed_bytes, record.action_error, text)
        for text, record in records.items()
        if text != BASELINE and record.action_error is not None and record.action_error <= most
    ]
    smaller = [found for found in able if base is None or found[0] < base.packed_bytes]
    return min(smaller)[-1] if smaller else None


def in_words(records: Mapping[str, ArtifactRecord], most: float) -> str:
    """What was found, in a sentence or two."""
    chosen = smallest_within(records, most)
    if chosen is None:
        errors = [r.action_error for text, r in records.items() if text != BASELINE and r.action_error is not None]
        least = f"; the least is {min(errors):.3%}" if errors else ""
        return f"Nothing smaller than the agent has an action error of at most {most:.3%}{least}."
    record, base = records[chosen], records.get(BASELINE)
    times = "" if base is None else f", {base.packed_bytes / record.packed_bytes:.1f} times smaller than the agent"
    return (
        f"The smallest with an action error of at most {most:.3%} is {chosen}: {record.packed_bytes} bytes{times}, "
        f"error {record.action_error:.3%} on held-out observations. Nothing is claimed of its return."
    )
