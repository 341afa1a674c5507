"""The error that statements may spend: of candidates tried one after the other, and of several made together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from policypress_runtime.errors import StudyInputError


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


def jointly_held(names: Sequence[str], holds: Callable[[str, float], bool], alpha: float) -> frozenset[str]:
    """Which of several statements hold together, all of them with an error of at most ``alpha`` (Holm's procedure).

    Args:
        names: of the statements, which may depend on each other in any way.
        holds: whether a statement holds at an error of its own.
        alpha: the probability that any of those named is wrong.

    >>> least = {"a": 0.01, "b": 0.02, "c": 0.5}
    >>> sorted(jointly_held(list(least), lambda name, alpha: alpha >= least[name], 0.05))
    ['a', 'b']
    """
    left, held = list(names), frozenset[str]()
    while left:
        found = frozenset(name for name in left if holds(name, alpha / len(left)))
        if not found:
            break
        held |= found
        left = [name for name in left if name not in found]
    return held
