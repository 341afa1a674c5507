"""skrl's checkpoints, versions 1 and 2: ``agent_N.pt`` and ``best_agent.pt``.

The networks are the user's own classes, or generated from a configuration: their layers are taken in the order in
which they stand, if their widths follow each other. Observations are clamp((x - mean) / (sqrt(variance) + 1e-8), ±5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from policypress.agents.bundle import Normaliser
from policypress.agents.frameworks.chains import Gap, Part, layer, refuse_memory
from policypress.agents.frameworks.found import Found, Framework, Squash
from policypress.agents.frameworks.normalisers import outside_root, statistics
from policypress.agents.frameworks.run_config import RunConfig
from policypress.agents.frameworks.stored import Stored
from policypress.agents.overrides import Overrides

EPSILON, CLIP = 1e-8, 5.0
# The first is of version 2, where the other one is the critic's.
_PREPROCESSORS = ("observation_preprocessor", "state_preprocessor")
_NOT_ACTING = ("value_layer.", "log_std", "value.")
_MEMORY = re.compile(r"(?:.*\.)?(?:weight|bias)_(?:ih|hh)_l\d+")
_NUMBER = re.compile(r"\d+")


def recognises(stored: Stored) -> bool:
    """A policy of tensors beside what skrl's agents keep with it."""
    beside = {"optimizer", "policy_optimizer", "value", "critic_1", "target_policy", *_PREPROCESSORS}
    policy = stored.section("policy")
    return any(str(name).endswith(".weight") for name in policy) and bool(beside & set(_names(stored)))


def read(stored: Stored, config: RunConfig, overrides: Overrides) -> Found:
    """The policy.

    Raises:
        UnsupportedAgentError: it is recurrent or convolutional.
        DamagedAgentError: its layers do not follow each other.
    """
    policy = stored.section("policy")
    refuse_memory("skrl", [name for name in policy if _MEMORY.fullmatch(str(name))], ("",))
    arrays = {name: array for name, array in stored.arrays(policy).items() if not name.startswith(_NOT_ACTING)}
    names = overrides.layers or [name.removesuffix(".weight") for name in arrays if name.endswith(".weight")]
    parts: list[Part] = []
    for before, name in zip(["", *names], names, strict=False):
        if before and not _adjacent(before, name):
            parts.append(Gap.ACTIVATION)
        parts.append(layer(arrays, name))
    return Found(
        "skrl",
        "skrl 2" if stored.section(_PREPROCESSORS[0]) else "skrl",
        tuple(parts),
        config.activation("models.policy.network.0.activations", "models.policy.network.0.activation"),
        config.name,
        _normaliser(stored),
        squash=_squash(config),
        choices=None if overrides.discrete_actions is not None else (),
        assumptions=("an activation stands between all layers of the policy, which skrl's file does not tell",),
    )


def _names(stored: Stored) -> Iterable[str]:
    return [str(name) for name in stored.top] if isinstance(stored.top, dict) else []


def _adjacent(before: str, after: str) -> bool:
    """Whether two layers of a ``Sequential`` stand side by side: ``net.0`` and ``net.1``."""
    left, _, first = before.rpartition(".")
    right, _, second = after.rpartition(".")
    return left == right and first.isdigit() and second.isdigit() and int(second) == int(first) + 1


def _normaliser(stored: Stored) -> Normaliser | None:
    tensors = next((found for name in _PREPROCESSORS if (found := stored.section(name))), {})
    if not tensors:
        return None
    mean, variance = statistics(stored.arrays(tensors), "running_mean", "running_variance")
    return outside_root(mean, np.sqrt(np.maximum(variance, 0)), EPSILON, CLIP)


def _squash(config: RunConfig) -> Squash | None:
    """What the configuration says of the output; a network that the user wrote may do anything with it."""
    output = config.at("models.policy.output")
    known: dict[str, Squash] = {"ACTIONS": "none", "tanh(ACTIONS)": "tanh"}
    return known.get(output) if isinstance(output, str) else None


FRAMEWORK = Framework("skrl", recognises, read)
