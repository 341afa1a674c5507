"""The error that statements may spend: of candidates tried one after the other, and of several made together."""

from __future__ import annotations

import math
from collections.abc import Mapping

from policypress.errors import StudyInputError


def error_share(confidence: float, attempt: int) -> float:
    """The error that the ``attempt``-th candidate (from 1) may spend: α/2, α/4, …, together less than α.

    >>> error_share(0.75, 1), error_share(0.75, 2)
    (0.125, 0.0625)
    """
    return (1 - confidence) * 0.5**attempt


def checked_share(name: str, value: float) -> float:
    """``value`` where it lies between 0 and 1.

    Raises:
        StudyInputError: it does not.
    """
    if not 0 < value < 1:
        raise StudyInputError(f"The {name} is a share.", got=f"{value:g}", expected="more than 0 and less than 1")
    return value


def jointly_certified(evidence: Mapping[str, float], alpha: float) -> frozenset[str]:
    """Which of several statements hold together, all of them with an error of at most ``alpha`` (Holm's procedure).

    Args:
        evidence: statement → logarithm of its capital; they may depend on each other in any way.
        alpha: the probability that any of those named is wrong.

    >>> sorted(jointly_certified({"a": math.log(50), "b": math.log(25), "c": 0.0}, 0.05))
    []
    >>> sorted(jointly_certified({"a": math.log(70), "b": math.log(45), "c": 0.0}, 0.05))
    ['a', 'b']
    """
    held: list[str] = []
    for rank, name in enumerate(sorted(evidence, key=lambda one: -evidence[one])):
        if evidence[name] < math.log((len(evidence) - rank) / alpha):
            break
        held.append(name)
    return frozenset(held)
