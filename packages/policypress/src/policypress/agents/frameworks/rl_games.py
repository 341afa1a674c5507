"""rl_games' checkpoints (Isaac Gym, Isaac Lab): ``nn/TASK.pth``.

Its player takes the mean, clamps it to [-1, 1] and scales it to the action bounds. Observations are
clamp((x - mean) / sqrt(variance + 1e-5), ±5).
"""

from __future__ import annotations

import re

from policypress.agents.bundle import Normaliser
from policypress.agents.frameworks.chains import Gap, Part, layer, refuse_memory, refuse_others, sequential
from policypress.agents.frameworks.found import Found, Framework
from policypress.agents.frameworks.normalisers import inside_root, statistics
from policypress.agents.frameworks.run_config import RunConfig
from policypress.agents.frameworks.stored import Stored
from policypress.agents.overrides import Overrides
from policypress_runtime.errors import UnsupportedAgentError

EPSILON, CLIP = 1e-5, 5.0
_NET = "a2c_network."
_LOGITS = re.compile(r"logits(?:\.(\d+))?\.weight")
_NOT_ACTING = (
    "value_mean_std.",
    "running_mean_std.",
    *(_NET + name for name in ("value", "sigma", "critic_mlp.", "central_value")),
)


def recognises(stored: Stored) -> bool:
    """A model with an ``a2c_network``."""
    return any(str(name).startswith(_NET) for name in stored.section("model"))


def read(stored: Stored, config: RunConfig, overrides: Overrides) -> Found:
    """The actor of PPO.

    Raises:
        UnsupportedAgentError: it is recurrent or convolutional, or squashes its mean in an unknown way.
        DamagedAgentError: tensors are missing.
    """
    model = stored.section("model")
    refuse_memory("rl_games", model, (f"{_NET}rnn.", f"{_NET}a_rnn."))
    acting = ("actor_mlp.", "mu.", "logits.")
    refuse_others("rl_games", model, (*(_NET + name for name in acting), *_NOT_ACTING))
    arrays = stored.arrays(model, _NET)
    hidden = any(name.startswith("actor_mlp.") for name in arrays)
    parts: tuple[Part, ...] = sequential(arrays, "actor_mlp.", closing=True) if hidden else ()
    if parts and not isinstance(parts[-2], Gap) and parts[-2].weight.ndim == 1:
        parts = parts[:-1]  # a layer normalisation follows its activation
    places = sorted((int(found[1] or 0), name) for name in arrays if (found := _LOGITS.fullmatch(name)))
    choices = tuple(int(arrays[name].shape[0]) for _, name in places)
    if len(places) > 1:
        raise UnsupportedAgentError(
            "The checkpoint has the form of rl_games, and several choices, which are not read.",
            got=f"{len(places)} heads",
            expected="continuous actions, or one choice",
        )
    own = config.activation("params.network.mlp.activation", "network.mlp.activation")
    _refuse_squash(config)
    clips = config.at("params.config.clip_actions")
    return Found(
        "rl_games",
        "rl_games",
        (*parts, layer(arrays, places[0][1].removesuffix(".weight") if places else "mu")),
        own,
        config.name,
        _normaliser(stored),
        unit_actions=not choices and clips is not False,
        choices=choices,
    )


def _normaliser(stored: Stored) -> Normaliser | None:
    found = stored.arrays(stored.section("model"), "running_mean_std.")
    if not found:
        return None
    mean, variance = statistics(found, "running_mean", "running_var")
    return inside_root(mean, variance, EPSILON, CLIP)


def _refuse_squash(config: RunConfig) -> None:
    stored = config.at("params.network.space.continuous.mu_activation")
    if stored not in (None, "None"):
        raise UnsupportedAgentError(
            "The run's configuration applies an activation to the mean, which is not read.",
            got=f"mu_activation: {str(stored)[:40]}",
            expected="mu_activation: None",
        )


FRAMEWORK = Framework("rl_games", recognises, read)
