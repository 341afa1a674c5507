"""What to look at first where an agent does hardly better than random actions: seldom is it that it learned nothing."""

from __future__ import annotations

from collections.abc import Sequence

from policypress.measurement.statistics import Missing, retention
from policypress.policy.policy import Origin
from policypress_runtime.contract import ACTION_MASK, NO_NORMALISER_FOUND, with_mask

_NORMALISER = (
    "Most likely it was trained with VecNormalize, and no statistics were found next to the file: "
    "give them with --normalizer FILE. Other causes: "
)
_ENVIRONMENT = "another version of the environment (--env ID), or wrappers that are missing (--wrapper NAME)."
_MASKS = (
    "Random actions are drawn among those that the action masks allow, which may leave little choice. Other causes: "
)
_OTHER_STATISTICS = "VecNormalize statistics that were not found next to the file (--normalizer FILE), "


def suspects(origin: Origin) -> str:
    """Sentences that name what may be wrong with how the agent was read, the likeliest first."""
    none_found = NO_NORMALISER_FOUND in origin.assumptions
    if ACTION_MASK in with_mask(origin.algorithm, origin.caller_supplies):
        return _MASKS + (_OTHER_STATISTICS if none_found else "") + _ENVIRONMENT
    return (_NORMALISER if none_found else "Suspects: ") + _ENVIRONMENT


def hardly_better(origin: Origin, baseline: Sequence[float], random: Sequence[float]) -> tuple[str, ...]:
    """A notice where the returns of ``baseline`` are not clearly above those of ``random`` actions."""
    if len(baseline) < 2 or len(random) < 2 or not isinstance(retention(baseline, baseline, random), Missing):
        return ()
    if len({*baseline, *random}) == 1:
        return (
            "Random actions have the same return as the agent, in every episode: as the environment is made here, "
            f"returns cannot tell policies apart. {suspects(origin)}",
        )
    return (f"The agent is not clearly better than random actions. {suspects(origin)}",)
