"""TorchRL's policies: the state dict of a ``ProbabilisticActor`` or ``TensorDictModule`` around an ``MLP``.

Which distribution squashes the action is a class in the training's code, and the file does not name it. Without a
``state_independent_scale`` the outputs may be a mean and a deviation of each action.
"""

from __future__ import annotations

import re

from policypress.agents.frameworks.chains import refuse_others, sequential
from policypress.agents.frameworks.found import Found, Framework
from policypress.agents.frameworks.run_config import RunConfig
from policypress.agents.frameworks.stored import Stored
from policypress.agents.overrides import Overrides

_FIRST = re.compile(r"((?:module\.)+(?:0\.)?module\.(?:0\.)?)\d+\.weight")
_SCALE = "state_independent_scale"


def recognises(stored: Stored) -> bool:
    """A flat state dict whose names are those of nested ``TensorDictModule``."""
    return _prefix(stored) is not None


def read(stored: Stored, config: RunConfig, overrides: Overrides) -> Found:
    """The network of the actor.

    Raises:
        UnsupportedAgentError: more than one chain of layers.
        DamagedAgentError: tensors are missing.
    """
    prefix = _prefix(stored) or ""
    names = [str(name) for name in stored.flat()]
    refuse_others("TorchRL", [name for name in names if not name.endswith(_SCALE)], (prefix,))
    apart = any(name.endswith(_SCALE) for name in names)
    chosen = {name: value for name, value in stored.flat().items() if not str(name).endswith(_SCALE)}
    return Found(
        "torchrl",
        "TorchRL",
        sequential(stored.arrays(chosen, prefix), ""),
        squash=None,
        choices=() if apart else None,
        halves=False if apart else None,
    )


def _prefix(stored: Stored) -> str | None:
    matches = (_FIRST.fullmatch(str(name)) for name in stored.flat())
    return next((match[1] for match in matches if match is not None), None)


FRAMEWORK = Framework("torchrl", recognises, read)
