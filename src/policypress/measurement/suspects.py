"""What to look at first where an agent does hardly better than random actions: seldom is it that it learned nothing."""

from __future__ import annotations

from collections.abc import Sequence

from policypress.contract import NO_NORMALISER_FOUND
from policypress.measurement.statistics import Missing, retention
from policypress.policy.policy import Origin

_NORMALISER = (
    "Most likely it was trained with VecNormalize, and no statistics were found next to the file: "
    "give them with --normalizer FILE. Other causes: "
)
_ENVIRONMENT = "another version of the environment (--env ID), or wrappers that are missing (--wrapper NAME)."


def suspects(origin: Origin) -> str:
    """Sentences that name what may be wrong with how the agent was read, the likeliest first."""
    if NO_NORMALISER_FOUND in origin.assumptions:
        return _NORMALISER + _ENVIRONMENT
    return "Suspects: " + _ENVIRONMENT


def hardly_better(origin: Origin, baseline: Sequence[float], random: Sequence[float]) -> tuple[str, ...]:
    """A notice where the returns of ``baseline`` are not clearly above those of ``random`` actions."""
    if len(baseline) < 2 or len(random) < 2 or not isinstance(retention(baseline, baseline, random), Missing):
        return ()
    return (f"The agent is not clearly better than random actions. {suspects(origin)}",)
