"""Where a study file and a training state what an error would have as an option of another command.

What reads agents and makes environments is the same for every command, and names the options that most of them have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_OWN_MODULE = (
    "is part of the environment: register one that has it in a module of your own, and name that: "
    "package.module:MyEnv-v0"
)
_OF_A_FILE = "is no option of train: export or compress the agent with it, or save it again with its own code"
PLACES = {
    "study": {
        "--env": "is `environment:` beside `files:`, or an entry of `environments:` of `train:`",
        "--env-kwargs": _OWN_MODULE,
        "--wrapper": _OWN_MODULE,
        "--normalizer": "is `normalizer:` beside `files:`",
        "--activation": "is `activation:` beside `files:`",
        "--cnn-strides": "is `cnn_strides:` beside `files:`",
        "--check": "is `check:` beside `files:`",
        "--output-name": "is `output_name:` beside `files:`",
        "--actions": "is `actions:` beside `files:`",
        "--scale-actions": "is `scale_actions: true` beside `files:`",
        "--squash": "is `squash:` beside `files:`",
        "--action-scale": "is `action_scale:` beside `files:`",
        "--action-size": "is `action_size:` beside `files:`",
        "--layers": "is `layers:` beside `files:`",
        "--max-steps": "is `max_steps:` of `evaluation:`",
        "--runtime": "is `runtimes:` of `evaluation:`",
        "--update": "is `update:` of `train:`",
        "--watts-per-core": "is `watts_per_core:` of `costs:`",
    },
    "train": {
        "--env": "is the argument ENV of train",
        "--activation": _OF_A_FILE,
        "--cnn-strides": _OF_A_FILE,
        "--check": _OF_A_FILE,
    },
}
"""Command → option of other commands → where this command states it, as the end of a sentence."""


def where_stated(words: Iterable[str], message: str) -> str:
    """Lines to add to an error: where the command states what the message names as an option that it has not.

    Args:
        words: the command line, without the program's name.
        message: the error's.

    >>> print(where_stated(["train", "ppo", "NoSuch-v0"], "Give another id: --env ID."))
    <BLANKLINE>
      here: --env is the argument ENV of train
    """
    command = next((word for word in words if not word.startswith("-")), "")
    places = PLACES.get(command, {})
    named = dict.fromkeys(_OPTION.findall(message))
    return "".join(f"\n  here: {option} {places[option]}" for option in named if option in places)
