"""rsl_rl's checkpoints, versions 1 to 5: ``model_N.pt`` of legged_gym, Isaac Lab, mjlab and others.

The action is the actor's mean. A recurrent actor reads what its LSTM or GRU gives, which reads the normalised
observation. ``EmpiricalNormalization`` is (x - mean) / (deviation + 0.01), without a clip. An
asymmetric critic and its observations are of no concern.
"""

from __future__ import annotations

from typing import Any

from policypress.agents.archive import listing
from policypress.agents.bundle import Limited, Normaliser
from policypress.agents.frameworks.chains import HINT, refuse_others, sequential
from policypress.agents.frameworks.found import Found, Framework
from policypress.agents.frameworks.normalisers import outside_root, statistics
from policypress.agents.frameworks.run_config import RunConfig
from policypress.agents.frameworks.stored import Stored
from policypress.agents.overrides import Overrides
from policypress.agents.recurrence.in_checkpoints import recurrent
from policypress_runtime.errors import UnsupportedAgentError

EPSILON = 1e-2
_MODEL, _ACTOR = "model_state_dict", "actor_state_dict"
_NOT_ACTING = ("critic", "std", "log_std", "memory_c.", "teacher", "memory_t.", "distribution.")
# Beside the policy: the optimizer, curiosity (RND), imitation, and normalisers of what only the critic sees.
_BESIDE = ("optimizer", "rnd", "critic", "privileged", "obs_norm", "discriminator", "iter", "infos", "teacher")


def recognises(stored: Stored) -> bool:
    """A state dict of an actor (or a student) under rsl_rl's names."""
    actor = stored.section(_ACTOR)
    model = stored.section(_MODEL)
    return any(str(name).startswith(("mlp.", "rnn.")) for name in actor) or any(
        str(name).startswith(("actor.", "student.", "memory_a.", "memory_s.")) for name in model
    )


def read(stored: Stored, config: RunConfig, overrides: Overrides) -> Found:
    """The actor, or the student of a distillation.

    Raises:
        UnsupportedAgentError: the checkpoint has further networks, or a memory of another kind.
        DamagedAgentError: tensors are missing.
    """
    _refuse_further(stored)
    limit = config.at("clip_actions")
    limits = isinstance(limit, int | float) and not isinstance(limit, bool) and limit > 0
    form, prefix, normaliser = _newest(stored) if stored.section(_ACTOR) else _older(stored)
    tensors = stored.section(_ACTOR) or stored.section(_MODEL)
    memory = {"mlp.": "rnn.rnn.", "actor.": "memory_a.rnn.", "student.": "memory_s.rnn."}[prefix]
    remembered = recurrent(stored.arrays(tensors, memory), "", form) if _any(tensors, memory) else ()
    parts = (*remembered, *sequential(stored.arrays(tensors, prefix), ""))
    return Found(
        "rsl_rl",
        form,
        parts,
        config.activation("policy.activation", "actor.activation", "student.activation"),
        config.name,
        normaliser,
        after=(Limited(-float(limit), float(limit)),) if limits else (),
        notices=(f"Actions are clipped to ±{limit:g}, as {config.name} says.",) if limits else (),
    )


def _newest(stored: Stored) -> tuple[str, str, Normaliser | None]:
    actor = stored.section(_ACTOR)
    refuse_others("rsl_rl 5", actor, ("mlp.", "rnn.rnn.", "obs_normalizer.", *_NOT_ACTING))
    return "rsl_rl 5", "mlp.", _normaliser(stored, actor, "obs_normalizer.")


def _older(stored: Stored) -> tuple[str, str, Normaliser | None]:
    model = stored.section(_MODEL)
    role = "student" if any(str(name).startswith("student.") for name in model) else "actor"
    inside = f"{role}_obs_normalizer."
    form = "rsl_rl 3" if any("_obs_normalizer." in str(name) for name in model) else "rsl_rl 1 and 2"
    memory = "memory_s.rnn." if role == "student" else "memory_a.rnn."
    refuse_others(form, model, (f"{role}.", memory, inside, *_NOT_ACTING))
    beside = stored.section("obs_norm_state_dict")
    normaliser = _normaliser(stored, beside, "") if beside else _normaliser(stored, model, inside)
    return form, f"{role}.", normaliser


def _normaliser(stored: Stored, tensors: Any, prefix: str) -> Normaliser | None:
    found = stored.arrays(tensors, prefix) if _any(tensors, prefix) else {}
    if not found:
        return None
    mean, deviation = statistics(found, "_mean", "_std")
    return outside_root(mean, deviation, EPSILON)


def _any(tensors: Any, prefix: str) -> bool:
    return any(str(name).startswith(prefix) for name in tensors)


def _refuse_further(stored: Stored) -> None:
    top = stored.top if isinstance(stored.top, dict) else {}
    further = [
        str(name)
        for name, value in top.items()
        if isinstance(value, dict) and value and name not in (_MODEL, _ACTOR) and not str(name).startswith(_BESIDE)
    ]
    if further:
        raise UnsupportedAgentError(
            "The checkpoint has the form of rsl_rl, and networks beside the actor and the critic, which may act too.",
            got=listing(sorted(further), 6),
            expected="model_state_dict or actor_state_dict alone",
            hint=HINT,
        )


FRAMEWORK = Framework("rsl_rl", recognises, read)
