"""Progress of a step that learns. Without torch, so that listeners need none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StepProgress:
    """How far a step is that learns.

    Args:
        step: its name.
        done: gradient steps taken.
        total: gradient steps that there will be.
        loss: the mean over the last few.
        action_error: on the observations of the last of them: mean distance of the student's action to the teacher's as
            a share of the action range, or the share of choices that differ.
    """

    step: str
    done: int
    total: int
    loss: float
    action_error: float


def ignore_progress(learning: StepProgress) -> None:
    """Nobody listens."""
