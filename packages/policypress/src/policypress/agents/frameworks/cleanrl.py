"""CleanRL's models (PyTorch): ``*.cleanrl_model``, with the networks that its single-file scripts define.

Activations and squashing are those of the scripts: tanh for PPO, ReLU for DQN, DDPG, TD3 and SAC, whose actors end in
tanh, are scaled and shifted. PPO for continuous actions normalises observations and does not save how.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policypress.agents.bundle import Activation, Scaled
from policypress.agents.frameworks.chains import Gap, layer, refuse_others, sequential
from policypress.agents.frameworks.found import Found, Framework
from policypress.agents.frameworks.normalisers import statistics
from policypress.agents.frameworks.run_config import RunConfig
from policypress.agents.frameworks.stored import Stored
from policypress.agents.overrides import Overrides
from policypress_runtime.errors import DamagedAgentError

_SCRIPT = "CleanRL's own script"
_MEANS = ("fc_mu", "fc_mean")


def recognises(stored: Stored) -> bool:
    """The names of one of the scripts' classes."""
    return bool(_actor(stored)) or _ppo(stored) is not None or "network.0.weight" in stored.flat()


def read(stored: Stored, config: RunConfig, overrides: Overrides) -> Found:
    """The actor, or the Q network.

    Raises:
        UnsupportedAgentError: other tensors than the scripts', or convolutions.
        DamagedAgentError: tensors are missing, or do not fit.
    """
    if actor := _actor(stored):
        return _scaled_actor(stored, actor)
    prefix = _ppo(stored)
    if prefix is not None:
        refuse_others("CleanRL", stored.flat(), (prefix, "actor_logstd", "critic."))
        continuous = prefix == "actor_mean."
        parts = sequential(stored.arrays(stored.flat(), prefix), "")
        return Found(
            "cleanrl",
            "CleanRL's PPO",
            parts,
            Activation("tanh"),
            _SCRIPT,
            normaliser_unsaved=continuous,
            choices=() if continuous else (_outputs(parts),),
        )
    refuse_others("CleanRL", stored.flat(), ("network.",))
    parts = sequential(stored.arrays(stored.flat(), "network."), "")
    return Found("cleanrl", "CleanRL's DQN", parts, Activation("relu"), _SCRIPT, choices=(_outputs(parts),))


def _ppo(stored: Stored) -> str | None:
    names = [str(name) for name in stored.flat()]
    if not any(name.startswith("critic.") for name in names):
        return None
    return next((prefix for prefix in ("actor_mean.", "actor.") if any(n.startswith(prefix) for n in names)), None)


def _actor(stored: Stored) -> Mapping[Any, Any]:
    """The actor's tensors of DDPG, TD3 or SAC: alone, or the first of a tuple with the critics."""
    top = stored.top
    first = top[0] if isinstance(top, list | tuple) and top else top
    if not isinstance(first, Mapping) or "fc1.weight" not in first:
        return {}
    return first if any(f"{name}.weight" in first for name in _MEANS) else {}


def _scaled_actor(stored: Stored, actor: Mapping[Any, Any]) -> Found:
    refuse_others("CleanRL", actor, ("fc1.", "fc2.", "fc_mu.", "fc_mean.", "fc_logstd.", "action_scale", "action_bias"))
    arrays = stored.arrays(actor)
    scale, bias = statistics(arrays, "action_scale", "action_bias")
    mean = next(name for name in _MEANS if f"{name}.weight" in arrays)
    parts = (layer(arrays, "fc1"), Gap.ACTIVATION, layer(arrays, "fc2"), Gap.ACTIVATION, layer(arrays, mean))
    kind = "CleanRL's SAC" if mean == "fc_mean" else "CleanRL's DDPG and TD3"
    for array in (scale, bias):
        if array.size not in (1, _outputs(parts)):
            raise DamagedAgentError(
                "The action's scale in the checkpoint does not fit its actions.",
                got=f"{array.size} numbers for {_outputs(parts)} actions",
                expected="one for each action",
                hint="Copy the file again from where it was trained.",
            )
    after = (Scaled(scale.reshape(-1), bias.reshape(-1), "unscale"),)
    return Found("cleanrl", kind, parts, Activation("relu"), _SCRIPT, squash="tanh", after=after)


def _outputs(parts: tuple[Any, ...]) -> int:
    return int(parts[-1].weight.shape[0])


FRAMEWORK = Framework("cleanrl", recognises, read)
