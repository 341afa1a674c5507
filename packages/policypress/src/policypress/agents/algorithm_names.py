"""The names of the six algorithms; apart from the algorithms, for the libraries that train take seconds to import."""

from __future__ import annotations

import difflib
from typing import Literal, get_args

from policypress_runtime.errors import TrainingInputError

AlgorithmName = Literal["dqn", "ddpg", "td3", "sac", "ppo", "trpo"]
NAMES: tuple[AlgorithmName, ...] = get_args(AlgorithmName)


def algorithm_name(text: str) -> AlgorithmName:
    """The algorithm of this name, case-insensitive.

    Raises:
        TrainingInputError: none has it.
    """
    for name in NAMES:
        if name == text.lower():
            return name
    near = difflib.get_close_matches(text.lower(), NAMES, n=2, cutoff=0.4)
    raise TrainingInputError(
        "There is no such training algorithm.",
        got=text,
        expected=", ".join(NAMES),
        hint=f"Did you mean {' or '.join(near)}?" if near else None,
    )
