"""The libraries' policies with quantized networks, as classes that a zip names and Stable-Baselines3 loads.

Each takes the arguments of the class it stands for, and ``qat``: the fields of a :class:`QatConfig`, as plain data so
that they stand readable in the zip. Without ``qat`` it takes the defaults. The module's name is known to policypress's
own reader: do not move it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from stable_baselines3.common.policies import (
    ActorCriticCnnPolicy,
    ActorCriticPolicy,
    BasePolicy,
    MultiInputActorCriticPolicy,
)
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.dqn.policies import CnnPolicy as DqnCnnPolicy
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.dqn.policies import MultiInputPolicy as DqnMultiInputPolicy
from stable_baselines3.sac.policies import CnnPolicy as SacCnnPolicy
from stable_baselines3.sac.policies import MultiInputPolicy as SacMultiInputPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import CnnPolicy as Td3CnnPolicy
from stable_baselines3.td3.policies import MultiInputPolicy as Td3MultiInputPolicy
from stable_baselines3.td3.policies import TD3Policy

from policypress_runtime.errors import TrainingInputError
from policypress_train.qat.config import QatConfig
from policypress_train.qat.layers import LayerSettings
from policypress_train.qat.networks import absorb_rectifiers, mirror, quantize_chain


class _QuantizedPolicy(BasePolicy):
    """What the quantized policies share: the ``qat`` argument, and the replacement of layers."""

    held = False

    def __init__(self, *arguments: Any, qat: Mapping[str, Any] | None = None, **keywords: Any) -> None:
        self.qat = QatConfig(**(qat or {}))
        super().__init__(*arguments, **keywords)

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)  # type: ignore[misc]  # every policy of the library has it
        self._quantize(self.qat.networks == "all")
        absorb_rectifiers(self)

    def _quantize(self, all_networks: bool) -> None:
        raise NotImplementedError

    def _settings(self) -> LayerSettings:
        config = self.qat
        return LayerSettings(
            config.weight_bits,
            config.activation_bits,
            config.per_channel,
            scaled=config.observation_scaling,
            held=self.held,
        )

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "qat": asdict(self.qat)}


class _QuantizedDqn(_QuantizedPolicy, DQNPolicy):
    """DQN: the Q network acts, and its target mirrors it."""

    def _quantize(self, all_networks: bool) -> None:
        quantize_chain(self.q_net, ["q_net"], self.q_net.features_extractor, self._settings())
        mirror(self.q_net, self.q_net_target)


class _QuantizedTd3(_QuantizedPolicy, TD3Policy):
    """TD3 and DDPG: the actor; with ``all`` also the critics; each with its target."""

    def _quantize(self, all_networks: bool) -> None:
        quantize_chain(self.actor, ["mu"], self.actor.features_extractor, self._settings())
        if all_networks:
            for index in range(self.critic.n_critics):
                quantize_chain(self.critic, [f"qf{index}"], self.critic.features_extractor, self._settings())
        mirror(self.actor, self.actor_target)
        mirror(self.critic, self.critic_target)


class _QuantizedSac(_QuantizedPolicy, SACPolicy):
    """SAC: the actor's path to the mean (never its log-std head); with ``all`` also the critics and their target."""

    def _quantize(self, all_networks: bool) -> None:
        quantize_chain(self.actor, ["latent_pi", "mu"], self.actor.features_extractor, self._settings())
        if all_networks:
            for index in range(self.critic.n_critics):
                quantize_chain(self.critic, [f"qf{index}"], self.critic.features_extractor, self._settings())
        mirror(self.critic, self.critic_target)


class _QuantizedActorCritic(_QuantizedPolicy, ActorCriticPolicy):
    """PPO and TRPO: the path to the action; with ``all`` also the path to the value.

    Both compare the actions' probabilities before and after an update, so the active ranges are held from the start of
    a rollout to the end of the update.
    """

    held = True

    def _quantize(self, all_networks: bool) -> None:
        settings = self._settings()
        quantize_chain(self, ["mlp_extractor.policy_net", "action_net"], self.pi_features_extractor, settings)
        if all_networks:
            quantize_chain(self, ["mlp_extractor.value_net", "value_net"], self.vf_features_extractor, settings)


class QuantizedDqnMlpPolicy(_QuantizedDqn):
    """DQN on vectors."""


class QuantizedDqnCnnPolicy(_QuantizedDqn, DqnCnnPolicy):
    """DQN on images."""


class QuantizedDqnMultiInputPolicy(_QuantizedDqn, DqnMultiInputPolicy):
    """DQN on dict observations."""


class QuantizedTd3MlpPolicy(_QuantizedTd3):
    """TD3 and DDPG on vectors."""


class QuantizedTd3CnnPolicy(_QuantizedTd3, Td3CnnPolicy):
    """TD3 and DDPG on images."""


class QuantizedTd3MultiInputPolicy(_QuantizedTd3, Td3MultiInputPolicy):
    """TD3 and DDPG on dict observations."""


class QuantizedSacMlpPolicy(_QuantizedSac):
    """SAC on vectors."""


class QuantizedSacCnnPolicy(_QuantizedSac, SacCnnPolicy):
    """SAC on images."""


class QuantizedSacMultiInputPolicy(_QuantizedSac, SacMultiInputPolicy):
    """SAC on dict observations."""


class QuantizedActorCriticMlpPolicy(_QuantizedActorCritic):
    """PPO and TRPO on vectors."""


class QuantizedActorCriticCnnPolicy(_QuantizedActorCritic, ActorCriticCnnPolicy):
    """PPO and TRPO on images."""


class QuantizedActorCriticMultiInputPolicy(_QuantizedActorCritic, MultiInputActorCriticPolicy):
    """PPO and TRPO on dict observations."""


_KINDS = ("MlpPolicy", "CnnPolicy", "MultiInputPolicy")
_DQN = (QuantizedDqnMlpPolicy, QuantizedDqnCnnPolicy, QuantizedDqnMultiInputPolicy)
_TD3 = (QuantizedTd3MlpPolicy, QuantizedTd3CnnPolicy, QuantizedTd3MultiInputPolicy)
_SAC = (QuantizedSacMlpPolicy, QuantizedSacCnnPolicy, QuantizedSacMultiInputPolicy)
_ACTOR_CRITIC = (
    QuantizedActorCriticMlpPolicy,
    QuantizedActorCriticCnnPolicy,
    QuantizedActorCriticMultiInputPolicy,
)
CLASSES: Mapping[str, Mapping[str, type[BasePolicy]]] = {
    algorithm: dict(zip(_KINDS, classes, strict=True))
    for algorithm, classes in {
        "dqn": _DQN,
        "td3": _TD3,
        "ddpg": _TD3,
        "sac": _SAC,
        "ppo": _ACTOR_CRITIC,
        "trpo": _ACTOR_CRITIC,
    }.items()
}


def quantized_policy(
    algorithm: str, config: QatConfig, policy: str = "MlpPolicy"
) -> tuple[type[BasePolicy], dict[str, Any]]:
    """The policy class to give to an algorithm's constructor, and what to add to its ``policy_kwargs``.

    After ``kind, more = quantized_policy("sac", QatConfig())`` the agent is
    ``SAC(kind, environment, policy_kwargs={"net_arch": [64, 64], **more})``.

    Args:
        algorithm: ``dqn``, ``ddpg``, ``td3``, ``sac``, ``ppo`` or ``trpo``.
        config: what is quantized, and how finely.
        policy: the library's name of the policy, for vectors, images or dict observations.

    Raises:
        TrainingInputError: no such algorithm, or no such policy.
    """
    found = CLASSES.get(algorithm, {}).get(policy)
    if found is None:
        raise TrainingInputError(
            "There is no quantization-aware form of this policy.",
            got=f"{policy} of {algorithm}",
            expected=f"{', '.join(_KINDS)} of {', '.join(CLASSES)}",
        )
    return found, {"qat": asdict(config)}
