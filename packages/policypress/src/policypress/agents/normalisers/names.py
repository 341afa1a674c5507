"""Which statistics go with which agent, as far as their names tell: steps, versions, best or final, equal words.

``rl_model_1000_steps`` goes with ``rl_model_vecnormalize_1000_steps`` and with no other step's; ``best_model`` with
``best_vecnorm``; ``model_v13`` with ``vec_normalize_v13``.
"""

from __future__ import annotations

import re

_NORMALISER = re.compile(
    r"vec[_\- ]*norm(ali[sz](ed?|er|ation))?|norm(ali[sz](ed?|er|ation))?(?![a-z])|obs[_\- ]*rms"
    r"|running[_\- ]*mean([_\- ]*std)?|stat(istic)?s",
    re.IGNORECASE,
)
_SAYS_SO = re.compile(r"vec[_\- ]*norm|normali[sz]|obs[_\- ]*rms|running[_\- ]*mean", re.IGNORECASE)
_STEPS = re.compile(r"(?<!\d)(\d+)_steps", re.IGNORECASE)
# Of Hopper-v4 the 4 is the environment's.
_ENVIRONMENT_ID = re.compile(r"[A-Za-z]+-v\d+")
_NUMBER = re.compile(r"v?(\d+)([km]?)", re.IGNORECASE)
_STAGES = {"best": "best", **dict.fromkeys(("final", "last", "latest", "end"), "final")}
_FILLERS = ("model", "models", "agent", "policy", "env", "venv", "saved", "save")


def says_normaliser(name: str) -> bool:
    """Whether a file's name says that it holds normalisation statistics."""
    return _SAYS_SO.search(name) is not None


def steps_of(stem: str) -> int | None:
    """The step number of a checkpoint; None where the name has none."""
    found = _STEPS.search(stem)
    return None if found is None else int(found[1])


def words_of(stem: str) -> frozenset[str]:
    """What is left of a name without what every agent or every normaliser is called, in lower case."""
    words = re.split(r"[^a-z0-9]+", _NORMALISER.sub(" ", stem).lower())
    return frozenset(word for word in words if word and word not in _FILLERS)


def are_pair(agent: str, statistics: str) -> bool:
    """Whether the two names are the same apart from those words."""
    return bool(words_of(agent)) and words_of(agent) == words_of(statistics)


def contradict(agent: str, statistics: str) -> bool:
    """Whether the names speak of different times: other steps, another version, the best and the final one."""
    if steps_of(agent) != steps_of(statistics) and None not in (steps_of(agent), steps_of(statistics)):
        return True
    if steps_of(agent) is None and steps_of(statistics) is not None:
        return True
    one, other = _times(agent), _times(statistics)
    return bool(one and other and not one & other)


def _times(stem: str) -> frozenset[str]:
    words = words_of(_ENVIRONMENT_ID.sub(" ", stem))
    numbers = {f"{int(found[1])}{found[2]}" for word in words if (found := _NUMBER.fullmatch(word))}
    return frozenset(numbers | {_STAGES[word] for word in words if word in _STAGES})


# Folders that a training makes for one part of what it writes.
_PART_OF_A_RUN = re.compile(
    r"((best|final|last|latest|end|models?|checkpoints?|ckpts?|eval|evaluations?|weights|policy|policies|saved?|saves|zips?)"
    r"([^a-z0-9]+|$))+",
    re.IGNORECASE,
)


def is_part_of_a_run(folder: str) -> bool:
    """Whether a folder's name says that it is a part of the training in the folder above it: ``best_model``."""
    return _PART_OF_A_RUN.fullmatch(folder) is not None
