"""What ``compress`` does when it is told nothing else; apart from the options, for help and completion import it."""

from __future__ import annotations

BUDGET_MINUTES = 20.0
MAX_EPISODES = 6000
# What the papers did, in few steps, and the better recipe beside it.
CLASSIC = (
    "none",
    "ptdq",
    "ptsq",
    "equalize > int8",
    *(f"prune({norm}, {ratio})" for norm in ("l1", "l2") for ratio in (0.05, 0.1, 0.3, 0.5)),
)
