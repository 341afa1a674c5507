"""Algorithms told by class, settings, tensors and, last, by what stands beside the file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from policypress.agents.sb3.algorithm import algorithm_of, family_of, named_in
from policypress.agents.sb3.data import Sb3Data
from policypress_runtime.errors import UnsupportedAgentError

ANY = np.zeros(1, np.float32)


def data(module: str = "", name: str | None = None, kwargs: dict[str, Any] | None = None, **fields: Any) -> Sb3Data:
    return Sb3Data(fields, module, name, kwargs or {}, ())


@pytest.mark.parametrize(
    ("module", "fields", "hint", "expected"),
    [
        ("stable_baselines3.common.policies", {"clip_range": 0.2, "gae_lambda": 1}, None, "ppo"),
        ("stable_baselines3.common.policies", {"cg_max_steps": 15, "gae_lambda": 1}, "ppo", "trpo"),
        ("stable_baselines3.common.policies", {"gae_lambda": 1}, None, "a2c"),
        ("stable_baselines3.common.policies", {}, None, "ppo"),
        ("stable_baselines3.common.policies", {}, "A2C", "a2c"),
        ("stable_baselines3.common.policies", {}, "sac", "ppo"),
        ("sb3_contrib.common.maskable.policies", {"clip_range": 0.2}, None, "maskable_ppo"),
        ("stable_baselines3.td3.policies", {"target_noise_clip": 0.0, "policy_delay": 1}, None, "ddpg"),
        ("stable_baselines3.td3.policies", {"target_noise_clip": 0.5, "policy_delay": 2}, None, "td3"),
        ("stable_baselines3.td3.policies", {}, "ddpg", "ddpg"),
        ("stable_baselines3.td3.policies", {}, None, "td3"),
        ("sb3_contrib.tqc.policies", {}, "sac", "tqc"),
        ("sb3_contrib.crossq.policies", {}, None, "crossq"),
        ("sb3_contrib.qrdqn.policies", {}, None, "qrdqn"),
    ],
)
def test_algorithm(module: str, fields: dict[str, Any], hint: str | None, expected: str) -> None:
    described = data(module, **fields)
    family, own = family_of(described, {})
    assert own
    assert algorithm_of(described, family, {}, hint) == expected


@pytest.mark.parametrize(
    ("tensor", "family"),
    [
        ("q_net.q_net.0.weight", "q"),
        ("quantile_net.quantile_net.0.weight", "quantile"),
        ("actor.latent_pi.0.weight", "gaussian"),
        ("actor.mu.0.weight", "deterministic"),
        ("mlp_extractor.policy_net.0.weight", "actor_critic"),
        ("action_net.weight", "actor_critic"),
        ("action_net.0.weight", "ars"),
    ],
)
def test_class_of_the_user_is_placed_by_its_tensors(tensor: str, family: str) -> None:
    assert family_of(data("my_package.policies", "MyPolicy"), {tensor: ANY}) == (family, False)


def test_one_critic_is_ddpg_where_nothing_else_tells() -> None:
    described = data("stable_baselines3.td3.policies")
    assert algorithm_of(described, "deterministic", {"critic.qf0.0.weight": ANY}, None) == "ddpg"
    assert algorithm_of(data(kwargs={"n_critics": 1}), "deterministic", {}, None) == "ddpg"


def test_unknown_and_recurrent_policies() -> None:
    with pytest.raises(UnsupportedAgentError, match="policy class is unknown"):
        family_of(data("my_package", "Transformer"), {"attention.weight": ANY})
    with pytest.raises(UnsupportedAgentError, match="recurrent policy of its author's own"):
        family_of(data("x"), {"lstm_actor.weight_ih_l0": ANY})
    lstm = {"lstm_actor.weight_ih_l0": ANY, "action_net.weight": ANY}
    for described in (data("sb3_contrib.common.recurrent.policies"), data("", "RecurrentActorCriticPolicy")):
        assert family_of(described, lstm)[0] == "actor_critic"
        assert algorithm_of(described, "actor_critic", lstm, "ppo") == "recurrent_ppo"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ppo-CartPole-v1", "ppo"),
        ("ppo_mask-Grid-v0", "ppo_mask"),
        ("SAC-Hopper-v4", "sac"),
        ("HalfCheetah-v3", None),
        ("ppo", None),
        ("", None),
    ],
)
def test_named_in(text: str, expected: str | None) -> None:
    assert named_in(text) == expected
