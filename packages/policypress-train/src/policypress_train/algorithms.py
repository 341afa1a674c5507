"""The six algorithms: names, classes, and which tensors belong to the acting network."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from sb3_contrib import TRPO
from stable_baselines3 import DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm

from policypress.agents.algorithm_names import AlgorithmName, algorithm_name

# Set by the training itself, or not a hyperparameter.
_NOT_FOR_USERS = (
    "self",
    "policy",
    "env",
    "seed",
    "device",
    "verbose",
    "tensorboard_log",
    "_init_setup_model",
    "stats_window_size",
    "action_noise",
    "replay_buffer_class",
    "replay_buffer_kwargs",
    "rollout_buffer_class",
    "rollout_buffer_kwargs",
)


@dataclass(frozen=True)
class Algorithm:
    """One algorithm.

    ``acting`` are the prefixes of the policy's tensors that a deterministic action needs; ``explores_by_noise`` says
    that exploration is noise added to the action.
    """

    name: AlgorithmName
    stock: type[BaseAlgorithm]
    off_policy: bool
    acting: tuple[str, ...]
    explores_by_noise: bool = False

    def arguments(self) -> dict[str, inspect.Parameter]:
        """Hyperparameters of the class's constructor by name."""
        parameters = inspect.signature(self.stock).parameters
        return {name: parameter for name, parameter in parameters.items() if name not in _NOT_FOR_USERS}


_ACTOR_CRITIC = ("features_extractor.", "pi_features_extractor.", "mlp_extractor.policy_net.", "action_net.", "log_std")
ALGORITHMS: dict[str, Algorithm] = {
    "dqn": Algorithm("dqn", DQN, True, ("q_net.",)),
    "ddpg": Algorithm("ddpg", DDPG, True, ("actor.",), explores_by_noise=True),
    "td3": Algorithm("td3", TD3, True, ("actor.",), explores_by_noise=True),
    "sac": Algorithm("sac", SAC, True, ("actor.",)),
    "ppo": Algorithm("ppo", PPO, False, _ACTOR_CRITIC),
    "trpo": Algorithm("trpo", TRPO, False, _ACTOR_CRITIC),
}


def algorithm(name: str) -> Algorithm:
    """The algorithm of this name, case-insensitive.

    Raises:
        TrainingInputError: none has it.
    """
    return ALGORITHMS[algorithm_name(name)]


def default_of(parameter: inspect.Parameter) -> Any:
    """A hyperparameter's default, or None."""
    return None if parameter.default is inspect.Parameter.empty else parameter.default
