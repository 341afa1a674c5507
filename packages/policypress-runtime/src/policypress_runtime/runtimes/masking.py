"""Choosing among the scores of those actions alone that are allowed, exactly as sb3-contrib's MaskablePPO does."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from policypress_runtime.contract import Discrete, MultiBinary, MultiDiscrete, Space
from policypress_runtime.errors import ObservationError

Array = npt.NDArray[Any]


def action_among(scores: Array, masks: Any, space: Space) -> Array:
    """The best allowed action of each row.

    In each choice the highest score among allowed options decides, the first one among equals; the first option of
    all where none is allowed. A bit has one score, above 0 for "on".

    Args:
        scores: ``(rows, n)`` for Discrete, ``(rows, sum(nvec))`` for MultiDiscrete, ``(rows, n)`` for MultiBinary.
        masks: truth values, of as many rows or of one observation: ``n``, ``sum(nvec)``, or for MultiBinary ``2 n``
            (off, on for every bit).
        space: of the actions.

    Returns:
        ``(rows,)`` for Discrete (its ``start`` included), else ``(rows, choices)``.

    Raises:
        ObservationError: the mask has another size, or actions are not chosen among scores.

    >>> action_among(np.array([[3.0, 1.0, 2.0]]), [False, True, True], Discrete(3))
    array([2])
    """
    widths = _widths(space)
    rows = len(scores)
    allowed = np.asarray(masks)
    if allowed.size != rows * sum(widths) or allowed.dtype.kind not in "biuf":
        raise ObservationError(
            "The action mask does not fit the action space.",
            got=f"{allowed.dtype} of shape {allowed.shape}",
            expected=f"{sum(widths)} truth values for each of {rows} observations",
        )
    if isinstance(space, MultiBinary):
        scores = np.stack((np.zeros_like(scores), scores), axis=-1).reshape(rows, -1)
    kept = np.where(allowed.reshape(rows, -1) != 0, scores, -np.inf)
    ends = np.cumsum(widths)[:-1]
    best = np.stack([part.argmax(axis=1) for part in np.split(kept, ends, axis=1)], axis=1)
    if isinstance(space, Discrete):
        return best[:, 0] + space.start
    return best


def _widths(space: Space) -> tuple[int, ...]:
    match space:
        case Discrete():
            return (space.n,)
        case MultiDiscrete():
            return space.nvec
        case MultiBinary():
            return (2,) * space.n
        case _:
            raise ObservationError(
                "An action mask needs actions that are chosen among scores.",
                got=str(space),
                expected="Discrete, MultiDiscrete or MultiBinary actions",
            )
