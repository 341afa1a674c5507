"""Live objects as agents: models of Stable-Baselines3, modules of torch and of the libraries that train with them.

No such library is imported: objects are known by what they have. What acts is traced or, of TorchScript, followed as
the text of its code, as in a file.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from policypress.agents.bundle import AgentBundle
from policypress.agents.loading import load_agent
from policypress.agents.overrides import Overrides
from policypress.policy.importers.from_module import from_module
from policypress.policy.importers.live_sb3 import is_live
from policypress.policy.policy import Policy
from policypress_runtime.contract import Space
from policypress_runtime.errors import NetworkError, UndeterminedAgentError

Spaces = tuple[Space, Space]
_MEMORY = ("memory_a", "rnn")
# rsl_rl's names: of its actor-critics up to version 3, and of its models since version 5.
_ACTORS = (("actor", "actor_obs_normalizer"), ("mlp", "obs_normalizer"))
KEPT_BY_RUNNER = (
    "The module holds no observation normaliser. If the training normalised observations, its runner keeps the "
    "statistics: give the checkpoint that the runner saves instead, which holds both."
)


class LiveModel(Protocol):
    """A model of Stable-Baselines3: something with a policy."""

    policy: Any


def read_live(thing: Any, spaces: Callable[[], Spaces | None], overrides: Overrides) -> Policy | AgentBundle:
    """The policy of a live object.

    Args:
        thing: a model of Stable-Baselines3, a module of torch, TorchScript, or an actor-critic of rsl_rl.
        spaces: gives those of the environment that the user named, or None.
        overrides: what is stated of it.

    Raises:
        NetworkError: it is none of these, remembers, or does something that is not supported.
        UndeterminedAgentError: a network without an environment, whose spaces are not known.
        AgentError: TorchScript whose code is not understood.
    """
    if is_live(thing):
        return from_module(thing)
    if not isinstance(thing, nn.Module):
        raise NetworkError(
            "This is not an agent.",
            got=type(thing).__name__,
            expected="a path, a Policy, a model of Stable-Baselines3, or a torch.nn.Module",
            hint="Of a function that acts, give the network that it calls.",
        )
    if _is_of(thing, "TensorDictModuleBase"):
        raise NetworkError(
            "A module of tensordict reads and writes a dict by names of its own.",
            got=type(thing).__name__,
            expected="the network inside it, which takes the observation and gives the action",
            hint="Give that module (for one around an MLP: actor.module), or its state_dict() saved by torch.save.",
        )
    found = spaces()
    if found is None:
        raise UndeterminedAgentError(
            "A network does not say what it observes and does.",
            got=f"a live {type(thing).__name__} and no environment",
            expected="an environment, or both spaces",
            hint="Name it: env=... or env_fn=...; or give Policy.from_module(module, observation_space, action_space).",
        )
    if isinstance(thing, torch.jit.ScriptModule):
        return _read_script(thing, found, overrides)
    return _of_module(thing, found)


def _of_module(module: nn.Module, spaces: Spaces) -> Policy:
    if not hasattr(module, "act_inference") and not _is_of(module, "MLPModel"):
        return from_module(module, *spaces)
    memory = next((name for name in _MEMORY if hasattr(module, name)), None)
    if memory is not None:
        raise NetworkError(
            "A live actor-critic with memory is not read.",
            got=f"{type(module).__name__} with {memory}",
            expected="one without, or a file",
            hint="Export it to ONNX with the framework's own exporter, and give that file.",
        )
    for actor, statistics in _ACTORS:
        acts = getattr(module, actor, None)
        if isinstance(acts, nn.Module):
            before = getattr(module, statistics, None)
            whole = nn.Sequential(before, acts) if isinstance(before, nn.Module) else acts
            policy = from_module(whole, *spaces)
            told = () if isinstance(before, nn.Module) else (KEPT_BY_RUNNER,)
            policy.origin = replace(policy.origin, notices=(*policy.origin.notices, *told))
            return policy
    raise NetworkError(
        "It is not known what of this module acts.",
        got=f"{type(module).__name__} without {' or '.join(name for name, _ in _ACTORS)}",
        expected="an actor-critic as rsl_rl has it",
        hint="Give the network that acts.",
    )


def _read_script(module: torch.jit.ScriptModule, spaces: Spaces, overrides: Overrides) -> AgentBundle:
    """TorchScript as the file that it is saved as."""
    with tempfile.TemporaryDirectory(prefix="policypress-") as folder:
        path = Path(folder) / "live.pt"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.save(module, str(path))
        stated = replace(overrides, observation_space=spaces[0], action_space=spaces[1])
        bundle = load_agent(path, overrides=stated)
    return replace(bundle, provenance=replace(bundle.provenance, source=f"a live {type(module).__name__}"))


def _is_of(thing: Any, name: str) -> bool:
    return any(kind.__name__ == name for kind in type(thing).__mro__)
