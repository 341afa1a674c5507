"""What the classes of Stable-Baselines3 and sb3-contrib do when a checkpoint does not say otherwise.

These are facts of the libraries, the same from version 1.0 until today; sources: ``common/policies.py``,
``common/torch_layers.py``, and ``policies.py`` of each algorithm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from policypress.agents.bundle import Activation, Algorithm

Family = Literal["q", "quantile", "actor_critic", "deterministic", "gaussian", "ars"]


@dataclass(frozen=True)
class PolicyFacts:
    """Where a family of policies keeps its acting network, and its defaults.

    Args:
        hidden: prefixes of the hidden layers, in the order in which they act.
        output: prefix of the output layer; equal to the last of ``hidden`` where one stack holds both.
        extractors: prefixes under which the acting features extractor may stand, the best first.
        activation: of the hidden layers.
        squashes: the output goes through tanh.
    """

    hidden: tuple[str, ...]
    output: str
    extractors: tuple[str, ...]
    activation: Activation
    squashes: bool


RELU = Activation("relu")
TANH = Activation("tanh")

FACTS: Mapping[Family, PolicyFacts] = {
    "q": PolicyFacts(("q_net.q_net.",), "q_net.q_net.", ("q_net.features_extractor.",), RELU, False),
    "quantile": PolicyFacts(
        ("quantile_net.quantile_net.",),
        "quantile_net.quantile_net.",
        ("quantile_net.features_extractor.",),
        RELU,
        False,
    ),
    "actor_critic": PolicyFacts(
        ("mlp_extractor.shared_net.", "mlp_extractor.policy_net."),
        "action_net.",
        ("pi_features_extractor.", "features_extractor."),
        TANH,
        False,
    ),
    "deterministic": PolicyFacts(("actor.mu.",), "actor.mu.", ("actor.features_extractor.",), RELU, True),
    "gaussian": PolicyFacts(("actor.latent_pi.",), "actor.mu.", ("actor.features_extractor.",), RELU, True),
    "ars": PolicyFacts(("action_net.",), "action_net.", ("features_extractor.",), RELU, True),
}

FAMILY_OF: Mapping[Algorithm, Family] = {
    "dqn": "q",
    "qrdqn": "quantile",
    "a2c": "actor_critic",
    "ppo": "actor_critic",
    "maskable_ppo": "actor_critic",
    "trpo": "actor_critic",
    "recurrent_ppo": "actor_critic",
    "ars": "ars",
    "ddpg": "deterministic",
    "td3": "deterministic",
    "sac": "gaussian",
    "tqc": "gaussian",
    "crossq": "gaussian",
}

CLIP_MEAN = 2.0
BATCH_NORM_EPSILON = 1e-3
# Of torch.nn's normalisation layers, which stand in networks of an author's own.
TORCH_NORM_EPSILON = 1e-5

NATURE_KERNELS = (8, 4, 3)
NATURE_STRIDES = (4, 2, 1)
# policypress trains the CNN of Mnih et al. 2013 too: 8×8 kernels with stride 4, 4×4 with stride 2.
MNIH_CLASSES = ("policypress_train.extractors.MnihCnn", "policypress.training.extractors.MnihCnn")
MNIH_KERNELS = (8, 4)
# The strides that go with these kernels in the field's image networks (Mnih et al. 2013 and 2015).
STRIDE_OF_KERNEL: Mapping[int, int] = {8: 4, 4: 2, 3: 1}

ACTIVATIONS: Mapping[str, str] = {
    "ReLU": "relu",
    "Tanh": "tanh",
    "ELU": "elu",
    "LeakyReLU": "leaky_relu",
    "SiLU": "silu",
    "GELU": "gelu",
    "Mish": "mish",
    "SELU": "selu",
    "CELU": "celu",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Sigmoid": "sigmoid",
    "Hardtanh": "hardtanh",
    "Hardswish": "hardswish",
    "Hardsigmoid": "hardsigmoid",
    "ReLU6": "relu6",
    "PReLU": "prelu",
    "Identity": "identity",
}
"""Name of each activation by the name of its class in ``torch.nn``; the slopes of ``prelu`` are among the tensors."""
