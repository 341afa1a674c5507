"""Which algorithm trained an agent, told from its policy's class, its settings and its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping

from policypress.agents.archive import listing
from policypress.agents.bundle import Algorithm, Array
from policypress.agents.sb3.data import Sb3Data
from policypress.agents.sb3.defaults import FAMILY_OF, Family
from policypress.agents.sb3.learned_ranges import MODULES
from policypress_runtime.errors import UndeterminedAgentError, UnsupportedAgentError

ALIASES: Mapping[str, Algorithm] = {
    **{name: name for name in FAMILY_OF},
    "ppo_mask": "maskable_ppo",
    "maskableppo": "maskable_ppo",
    "qr_dqn": "qrdqn",
    "ppo_lstm": "recurrent_ppo",
    "recurrentppo": "recurrent_ppo",
}
LSTM = "lstm_actor."
"""Where a recurrent policy of sb3-contrib keeps the LSTM that acts."""

FAMILY_OF_MODULE: Mapping[str, Family] = {
    "stable_baselines3.dqn.policies": "q",
    "sb3_contrib.qrdqn.policies": "quantile",
    "stable_baselines3.common.policies": "actor_critic",
    "sb3_contrib.common.maskable.policies": "actor_critic",
    "sb3_contrib.common.recurrent.policies": "actor_critic",
    "stable_baselines3.td3.policies": "deterministic",
    "stable_baselines3.sac.policies": "gaussian",
    "sb3_contrib.tqc.policies": "gaussian",
    "sb3_contrib.crossq.policies": "gaussian",
    "sb3_contrib.ars.policies": "ars",
}

# The first start that fits decides: SAC's names hold TD3's.
_FAMILY_OF_TENSORS: tuple[tuple[str, Family], ...] = (
    ("q_net.q_net.", "q"),
    ("quantile_net.quantile_net.", "quantile"),
    ("actor.latent_pi.", "gaussian"),
    ("actor.log_std", "gaussian"),
    ("actor.mu.", "deterministic"),
    ("mlp_extractor.", "actor_critic"),
    ("action_net.weight", "actor_critic"),
    ("action_net.0.weight", "ars"),
)


def family_of(data: Sb3Data, tensors: Mapping[str, Array]) -> tuple[Family, bool]:
    """The family of the policy, and whether its class is the library's own.

    A class of the user's own is placed by the names of its tensors, and so are those of quantization-aware training,
    which have the library's defaults.

    Raises:
        UnsupportedAgentError: recurrent and of its author's own, or nothing that is known.
    """
    known = FAMILY_OF_MODULE.get(data.policy_module)
    remembers = any(name.startswith((LSTM, "mlp_extractor.lstm")) for name in tensors)
    if remembers and known is None and not _is_stripped(data):
        raise UnsupportedAgentError(
            "A recurrent policy of its author's own is not supported.",
            got=f"{data.policy_module}.{data.policy_class}",
            expected="a policy of sb3-contrib's RecurrentPPO",
            hint="Give an ONNX file of one step, with the state among its inputs and outputs.",
        )
    if known is not None:
        return known, True
    by_names = _family_by_tensors(tensors)
    if by_names is not None and data.policy_module in MODULES:
        return by_names, True
    if by_names is None:
        raise UnsupportedAgentError(
            "The agent's policy class is unknown.",
            got=f"class {data.policy_module}.{data.policy_class}, tensors {listing(sorted(tensors))}",
            expected="a policy of DQN, QR-DQN, A2C, PPO, MaskablePPO, RecurrentPPO, TRPO, ARS, DDPG, TD3, SAC, TQC or "
            "CrossQ",
            hint="Load it with its own code in Python and give Policy.from_module(model) to policypress, or give an "
            "ONNX file.",
        )
    return by_names, False


def _is_stripped(data: Sb3Data) -> bool:
    """Whether the file names no module, but one of sb3-contrib's recurrent classes."""
    return not data.policy_module and (data.policy_class or "").startswith("Recurrent")


def _family_by_tensors(tensors: Mapping[str, Array]) -> Family | None:
    for start, family in _FAMILY_OF_TENSORS:
        if any(name.startswith(start) for name in tensors):
            return family
    return None


def algorithm_of(data: Sb3Data, family: Family, tensors: Mapping[str, Array], hint: str | None) -> Algorithm:
    """The algorithm within ``family``.

    PPO, A2C and TRPO share one policy, DDPG and TD3 another; their settings tell them apart. Where a stripped
    file holds no settings, ``hint`` (an algorithm's name from beside the file) decides, else the most used
    of those that act alike.
    """
    hinted = ALIASES.get((hint or "").lower().replace("-", "_"))
    if hinted is not None and FAMILY_OF[hinted] != family:
        hinted = None
    match family:
        case "q":
            return "dqn"
        case "quantile":
            return "qrdqn"
        case "ars":
            return "ars"
        case "actor_critic":
            return _actor_critic(data, tensors, hinted)
        case "deterministic":
            return _deterministic(data, tensors, hinted)
        case "gaussian":
            return _gaussian(data, tensors, hinted)


def _actor_critic(data: Sb3Data, tensors: Mapping[str, Array], hinted: Algorithm | None) -> Algorithm:
    fields = data.fields
    if any(name.startswith(LSTM) for name in tensors):
        return "recurrent_ppo"
    hinted = None if hinted == "recurrent_ppo" else hinted
    if "maskable" in data.policy_module:
        return "maskable_ppo"
    if "cg_max_steps" in fields:
        return "trpo"
    if "clip_range" in fields:
        return "maskable_ppo" if hinted == "maskable_ppo" else "ppo"
    if "gae_lambda" in fields:
        return "a2c"
    return hinted or "ppo"


def _deterministic(data: Sb3Data, tensors: Mapping[str, Array], hinted: Algorithm | None) -> Algorithm:
    # DDPG is TD3 without delay, without noise on the target and with one critic.
    if "target_noise_clip" in data.fields:
        return "ddpg" if data.fields["target_noise_clip"] == 0.0 and data.fields.get("policy_delay") == 1 else "td3"
    if hinted is not None:
        return hinted
    one_critic = any(name.startswith("critic.qf0.") for name in tensors) and not any(
        name.startswith("critic.qf1.") for name in tensors
    )
    return "ddpg" if one_critic or data.argument("n_critics", 2) == 1 else "td3"


def _gaussian(data: Sb3Data, tensors: Mapping[str, Array], hinted: Algorithm | None) -> Algorithm:
    for module, algorithm in (("sac", "sac"), ("tqc", "tqc"), ("crossq", "crossq")):
        if f".{module}." in data.policy_module:
            return ALIASES[algorithm]
    if any(name.endswith(".ra_mean") for name in tensors):
        return "crossq"
    return hinted or "sac"


def named_in(text: str) -> str | None:
    """Algorithm at the front of a name such as ``ppo-CartPole-v1`` or ``ppo_mask-…``; None if there is none.

    >>> named_in("td3-Hopper-v4")
    'td3'
    """
    match = re.match(r"([A-Za-z0-9_]+)-", text)
    name = match.group(1).lower() if match else ""
    return name if name in ALIASES else None


def undetermined_policy(data: Sb3Data) -> UndeterminedAgentError:
    """The error for a policy class of the user's own whose activation nothing tells."""
    return UndeterminedAgentError(
        "The agent's policy is a custom class; the file does not determine its activation.",
        got=f"{data.policy_module}.{data.policy_class}",
        expected="activation_fn among the policy's arguments",
        hint="State it: --activation tanh (or relu, elu, leaky_relu(0.2), ...).",
    )
