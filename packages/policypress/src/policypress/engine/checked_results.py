"""What tasks return is checked before it enters the store: a worker may be of another version, or broken."""

from __future__ import annotations

import math

from policypress.engine.tasks.costs import MeasuredCosts
from policypress.records import EpisodeRecord
from policypress_runtime.errors import ExecutionError


def checked_episodes(seeds: tuple[int, ...], value: object) -> list[EpisodeRecord]:
    """``value`` as the episodes of ``seeds``.

    Raises:
        ExecutionError: it is something else, or a return is not finite.
    """
    episodes = [item for item in value if isinstance(item, EpisodeRecord)] if isinstance(value, tuple | list) else []
    got = tuple(episode.seed for episode in episodes)
    if got != seeds:
        raise ExecutionError(
            "An evaluation returned other episodes than requested.",
            got=f"{type(value).__name__} with episodes of seeds {got}",
            expected=f"episodes of seeds {seeds}",
        )
    broken = [e for e in episodes if not (math.isfinite(e.episode_return) and math.isfinite(e.cpu_s))]
    if broken:
        raise ExecutionError(
            "An episode's numbers are not finite.",
            got=repr(broken[0]),
            hint="Check the environment's rewards and the policy's actions for that seed.",
        )
    return episodes


def checked_costs(value: object, keys: set[str]) -> MeasuredCosts:
    """``value``, if it is the costs of the cells ``keys``.

    Raises:
        ExecutionError: it is something else.
    """
    if isinstance(value, MeasuredCosts) and {*value.measured, *value.failed} == keys:
        return value
    raise ExecutionError(
        "A measurement of costs gave something else.", got=type(value).__name__, expected=f"costs of {len(keys)} cells"
    )
