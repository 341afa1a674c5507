"""Whose code acts: what a checkpoint names that is not the library's own, and tensors that no class of it has.

A class of the author's own may do anything in its ``forward``, whatever its tensors are called. Names are read from
the text fields and from the opcodes of the pickles; nothing is imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from policypress.agents.archive import listing
from policypress.agents.bundle import Array
from policypress.agents.sb3.algorithm import FAMILY_OF_MODULE
from policypress.agents.sb3.data import Sb3Data, class_name, globals_named_in
from policypress.agents.sb3.defaults import MNIH_CLASSES, PolicyFacts
from policypress.agents.sb3.learned_ranges import MODULES as QAT_MODULES
from policypress_runtime.errors import AgentError, UndeterminedAgentError

# Modules whose policies do what their tensors' names say.
_POLICY_MODULES = {*FAMILY_OF_MODULE, *QAT_MODULES}
EXTRACTOR_MODULE = "stable_baselines3.common.torch_layers."
# A stripped file may name the class alone; these are the library's, in whatever module.
_POLICY_NAME = re.compile(
    r"(?:(?:Maskable|Recurrent)?(?:MultiInput)?ActorCritic(?:Cnn)?|DQN|QRDQN|TD3|SAC|TQC|CrossQ|ARS|ARSLinear|Mlp|Cnn|MultiInput|Linear)Policy"
)
# What the arguments of a policy may name without changing what its networks compute.
_HARMLESS = ("torch.nn.modules.activation.", "torch.optim.", "stable_baselines3.", "sb3_contrib.", "collections.")
# Tensors of a library's policy that do not act: values, critics, targets, the noise of exploration.
_IDLE: Mapping[str, tuple[str, ...]] = {
    "q_net.q_net.": ("q_net_target.",),
    "quantile_net.quantile_net.": ("quantile_net_target.",),
    "action_net.": (
        "log_std",
        "mlp_extractor.value_net.",
        "value_net.",
        "features_extractor.",
        "pi_features_extractor.",
        "vf_features_extractor.",
        "sde_features_extractor.",
        "lstm_critic.",
    ),
    "actor.mu.": ("actor_target.", "critic.", "critic_target.", "actor.log_std", "actor.sde_features_extractor."),
}
_PART = re.compile(r"(\d+)\.(\w+)")
WAYS = (
    "Provide observations with the actions of your own code, to check what is read: --check pairs.npz, written "
    "by numpy.savez('pairs.npz', observations=obs, actions=model.predict(obs, deterministic=True)[0]) for 64 varied "
    "obs; --activation, --cnn-strides state what the file does not say. Or load the model with its own code in "
    "Python and give Policy.from_module(model) to policypress; or give the policy as an ONNX file."
)


def own_code(data: Sb3Data) -> tuple[str, ...]:
    """What the file names that is its author's own and may act, in words; empty for the library's classes."""
    found: list[str] = []
    policy = _own_policy(data)
    if policy is not None:
        found.append(f"policy class {policy}")
    stored = data.argument("features_extractor_class", None)
    extractor = class_name(stored) or (None if stored is None else printed(stored))
    if extractor is not None and extractor not in MNIH_CLASSES and not extractor.startswith(EXTRACTOR_MODULE):
        found.append(f"features_extractor_class {extractor}")
    return (*found, *_unreadable_arguments(data))


def printed(stored: Any) -> str:
    """How the file prints a class or function, without where it stood in memory."""
    return re.sub(r" at 0x[0-9a-f]+", "", (class_name(stored) or str(stored))[:120])


def _own_policy(data: Sb3Data) -> str | None:
    stored = data.fields.get("policy_class")
    named = globals_named_in(stored.get(":serialized:")) if isinstance(stored, Mapping) else ()
    whole = ".".join(part for part in (data.policy_module, data.policy_class) if part)
    if data.policy_module:
        modules = {data.policy_module, *(name.rpartition(".")[0] for name in named)}
        return None if modules <= _POLICY_MODULES else whole
    if data.policy_class is not None and not _POLICY_NAME.fullmatch(data.policy_class):
        return whole
    return None


def _unreadable_arguments(data: Sb3Data) -> tuple[str, ...]:
    """Names in the pickle of the policy's arguments, where no text stands beside it."""
    stored = data.fields.get("policy_kwargs")
    if not isinstance(stored, Mapping) or any(not key.startswith(":") for key in stored):
        return ()
    names = dict.fromkeys(globals_named_in(stored.get(":serialized:")))
    own = [name for name in names if not name.startswith(_HARMLESS)]
    return (f"policy_kwargs that name {listing(own, 4)}",) if own else ()


def foreign_tensors(
    tensors: Iterable[str], state: Mapping[str, Array], facts: PolicyFacts, extractor: str, *, normalised: bool
) -> tuple[str, ...]:
    """Tensors that no policy of the library has: they, or what stands between them, may act in any way.

    Args:
        tensors: every name of the checkpoint.
        state: the acting tensors.
        facts: where the family keeps its layers.
        extractor: prefix of the acting features extractor, which is judged elsewhere.
        normalised: CrossQ's, whose layers alternate with normalisation.
    """
    idle = _IDLE.get(facts.output, ()) if facts.hidden[-1] != "action_net." else ()
    strange = [
        n
        for n in tensors
        if n not in state and not n.startswith((*idle, extractor)) and not (normalised and n.endswith(".steps"))
    ]
    for name in state:
        if name.startswith(extractor):
            continue
        stack = next((s for s in facts.hidden if name.startswith(s) and _PART.fullmatch(name.removeprefix(s))), None)
        if stack is None:
            # SAC's mean is clipped where its noise depends on the state, by a second layer that has no tensors.
            places = ("", "0.") if facts.output == "actor.mu." else ("",)
            if name not in {f"{facts.output}{place}{part}" for place in places for part in ("weight", "bias")}:
                strange.append(name)
        elif not _regular(name.removeprefix(stack), stack, state, normalised):
            strange.append(name)
    return tuple(sorted(set(strange)))


def _regular(rest: str, stack: str, state: Mapping[str, Array], normalised: bool) -> bool:
    """Whether a tensor stands where ``create_mlp`` puts its kind: linear and activation by turns, as they are built."""
    position, _, part = rest.partition(".")
    index = int(position)
    period, first = (3, 1) if normalised else (2, 0)
    weight = state.get(f"{stack}{position}.weight")
    if part in ("ra_mean", "ra_var", "scale") or (part == "bias" and weight is None):
        return normalised and index % period == 0
    if weight is None or part not in ("weight", "bias"):
        return False
    if weight.ndim == 1:
        return part == "weight" and f"{stack}{position}.bias" not in state and index % period == first + 1
    before = f"{stack}{index - period}.weight"
    return index % period == first and (index == first or before in state)


def unproven(reasons: Iterable[str]) -> UndeterminedAgentError:
    """The error for a network that its author's own code makes."""
    return UndeterminedAgentError(
        "The agent's network is created by custom code, which is not in the file and is not guessed.",
        got="; ".join(reasons),
        expected="the policies and extractors of Stable-Baselines3 and sb3-contrib, and activations of torch.nn",
        hint=WAYS,
    )


def untold(own: Iterable[str], error: AgentError) -> UndeterminedAgentError:
    """The error for a network of its author's own that is not even guessed from its tensors."""
    return UndeterminedAgentError(
        "The agent's network is created by custom code, and its tensors do not determine what it computes.",
        got=f"{'; '.join(own)}: {error.message} {error.got or ''}".rstrip(),
        expected="linear layers, activations and normalisation one after the other, or a CNN 'cnn' and 'linear'",
        hint="Load the model with its own code in Python and give Policy.from_module(model) to policypress; or give "
        "the policy as an ONNX file.",
    )
