"""Hyperparameters: what is stated is parsed and checked, and becomes the library's arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise

from policypress_runtime.errors import TrainingInputError
from policypress_train.algorithms import ALGORITHMS
from policypress_train.hyperparameters.settings import check, library_arguments, merge, parse_assignment


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("learning_rate=1e-3", ("learning_rate", 1e-3)),
        ("net_arch=[64, 64]", ("net_arch", [64, 64])),
        ("train_freq=(1, 'episode')", ("train_freq", (1, "episode"))),
        ("use_sde=true", ("use_sde", True)),
        ("target_kl=None", ("target_kl", None)),
        ("ent_coef=auto_0.1", ("ent_coef", "auto_0.1")),
        ("learning_rate=lin_1e-3", ("learning_rate", "lin_1e-3")),
        ("policy_kwargs.net_arch=[8]", ("policy_kwargs.net_arch", [8])),
        ("normalize={'norm_reward': False}", ("normalize", {"norm_reward": False})),
    ],
)
def test_assignments_are_read(text: str, expected: tuple[str, Any]) -> None:
    assert parse_assignment(text) == expected


@given(text=st.text(max_size=40))
def test_any_text_is_an_assignment_or_a_typed_error(text: str) -> None:
    try:
        name, _ = parse_assignment(text)
    except TrainingInputError:
        return
    assert text.startswith(name + "=")


def test_overrides_replace_what_is_published_and_reach_the_network() -> None:
    published = {"gamma": 0.9, "policy_kwargs": {"net_arch": [8], "log_std_init": -2}}
    merged = merge(published, [("gamma", 0.5), ("net_arch", [4]), ("policy_kwargs.activation_fn", "Tanh")])
    assert merged == {"gamma": 0.5, "policy_kwargs": {"net_arch": [4], "log_std_init": -2, "activation_fn": "Tanh"}}
    assert published["gamma"] == 0.9


@pytest.mark.parametrize(
    ("algorithm", "stated", "words"),
    [
        ("sac", {"learnin_rate": 1}, "learning_rate"),
        ("sac", {"clip_range": 0.2}, "no hyperparameter"),
        ("sac", {"learning_rate": "fast"}, "finite number"),
        ("sac", {"learning_rate": "lin_fast"}, "lin_number"),
        ("sac", {"learning_rate": float("nan")}, "finite number"),
        ("sac", {"learning_rate": -1e-3}, "more than 0"),
        ("sac", {"batch_size": 2.5}, "whole number"),
        ("sac", {"batch_size": 0}, "more than 0"),
        ("sac", {"use_sde": 1}, "True or False"),
        ("sac", {"ent_coef": [1]}, "auto"),
        ("sac", {"train_freq": [1, "day"]}, "episode"),
        ("sac", {"train_freq": 0}, "number of steps"),
        ("ppo", {"n_envs": 0}, "1 to 1024"),
        ("ppo", {"normalize": "yes"}, "VecNormalize"),
        ("td3", {"noise_type": "pink"}, "ornstein"),
        ("td3", {"policy": "MyPolicy"}, "MlpPolicy"),
        ("sac", {"policy_kwargs": [1]}, "names and values"),
        ("sac", {"policy_kwargs": {"net_arc": [4]}}, "net_arch"),
        ("sac", {"policy_kwargs": {"net_arch": [0]}}, "widths"),
        ("sac", {"policy_kwargs": {"net_arch": "deep"}}, "widths"),
        ("sac", {"policy_kwargs": {"activation_fn": "os.system"}}, "ReLU"),
        ("sac", {"seed": 3}, "no hyperparameter"),
        ("sac", {"replay_buffer_class": "x"}, "no hyperparameter"),
    ],
)
def test_what_cannot_be_used_is_refused(algorithm: str, stated: dict[str, Any], words: str) -> None:
    with pytest.raises(TrainingInputError) as caught:
        check(ALGORITHMS[algorithm], stated)
    assert words in str(caught.value)


def test_names_become_the_library_s_objects() -> None:
    stated = {
        "learning_rate": "lin_1e-2",
        "buffer_size": 1e5,
        "train_freq": [1, "episode"],
        "noise_type": "normal",
        "noise_std": 0.3,
        "n_envs": 4,
        "policy_kwargs": {"activation_fn": "Tanh", "net_arch": [8]},
    }
    check(ALGORITHMS["td3"], stated)
    arguments = library_arguments(ALGORITHMS["td3"], stated, 2)
    assert arguments["learning_rate"](1.0) == pytest.approx(1e-2)
    assert arguments["learning_rate"](0.25) == pytest.approx(2.5e-3)
    assert type(arguments["buffer_size"]) is int
    assert arguments["train_freq"] == (1, "episode")
    assert arguments["policy_kwargs"] == {"activation_fn": torch.nn.Tanh, "net_arch": [8]}
    assert isinstance(arguments["action_noise"], NormalActionNoise)
    np.testing.assert_array_equal(arguments["action_noise"]._sigma, [0.3, 0.3])
    assert "n_envs" not in arguments


@pytest.mark.parametrize(("size", "expected"), [(0, None), (3, OrnsteinUhlenbeckActionNoise)])
def test_noise_is_for_continuous_actions(size: int, expected: Any) -> None:
    stated = {"noise_type": "ornstein-uhlenbeck", "noise_std": 0.1}
    found = library_arguments(ALGORITHMS["td3"], stated, size).get("action_noise")
    assert found is None if expected is None else isinstance(found, expected)
