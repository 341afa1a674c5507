"""Every algorithm, policy and space of Stable-Baselines3 reads as the live model is."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from sb3_files import assert_acts_like, network_of
from torch import nn

from policypress.agents.bundle import Activation
from policypress.agents.overrides import Overrides
from policypress.agents.sb3.defaults import FACTS, FAMILY_OF
from policypress.agents.sb3.reading import read_sb3_zip
from policypress_runtime.contract import Box, DictSpace
from policypress_runtime.errors import (
    UndeterminedAgentError,
)

ACTOR_CRITICS = ("A2C", "PPO", "TRPO")
CONTINUOUS = ("DDPG", "TD3", "SAC", "TQC")

CASES = [
    *(
        ("DQN", policy, observation, "discrete")
        for policy, observation in (
            ("MlpPolicy", "vector"),
            ("MlpPolicy", "discrete"),
            ("CnnPolicy", "image"),
            ("MultiInputPolicy", "dict"),
        )
    ),
    *(
        ("QRDQN", policy, observation, "discrete")
        for policy, observation in (
            ("MlpPolicy", "uneven"),
            ("CnnPolicy", "image"),
            ("MultiInputPolicy", "dict_of_vectors"),
        )
    ),
    *(
        (algorithm, "MlpPolicy", "vector", action)
        for algorithm in ACTOR_CRITICS
        for action in ("box", "discrete", "multi_discrete", "multi_binary")
    ),
    *(
        (algorithm, "MlpPolicy", "unbounded", action)
        for algorithm in ("MaskablePPO",)
        for action in ("discrete", "multi_discrete", "multi_binary")
    ),
    ("A2C", "CnnPolicy", "image", "discrete"),
    ("PPO", "CnnPolicy", "image", "box"),
    ("TRPO", "MultiInputPolicy", "dict", "box"),
    ("MaskablePPO", "MultiInputPolicy", "dict", "discrete"),
    ("PPO", "MlpPolicy", "multi_discrete", "box"),
    ("PPO", "MlpPolicy", "multi_binary", "box"),
    *(("ARS", policy, "vector", action) for policy in ("MlpPolicy", "LinearPolicy") for action in ("box", "discrete")),
    *((algorithm, "MlpPolicy", "vector", "box") for algorithm in (*CONTINUOUS, "CrossQ")),
    ("SAC", "CnnPolicy", "image", "box"),
    ("TD3", "MultiInputPolicy", "dict", "box"),
    ("TQC", "MultiInputPolicy", "dict_of_vectors", "box"),
]
"""Algorithm, policy, observation space, action space."""


@pytest.mark.parametrize(("algorithm", "policy", "observation", "action"), CASES)
def test_reads_every_algorithm_policy_and_space(
    build: Any, algorithm: str, policy: str, observation: str, action: str
) -> None:
    saved = build(algorithm, policy, observation, action)
    bundle = read_sb3_zip(saved.path)
    network = network_of(bundle)
    assert network.algorithm.replace("_", "") == algorithm.lower()
    assert_acts_like(bundle, saved.model)
    kind = {"MlpPolicy": "flatten", "LinearPolicy": "flatten", "CnnPolicy": "cnn", "MultiInputPolicy": "combined"}
    assert network.extractor.kind == kind[policy]
    if policy != "LinearPolicy":
        assert network.activation == FACTS[FAMILY_OF[network.algorithm]].activation
    assert network.n_quantiles == (200 if algorithm == "QRDQN" else None)
    assert network.mean_clip is None
    assert network.normalize_images


def test_output_and_hidden_layers_are_complete(build: Any) -> None:
    network = network_of(read_sb3_zip(build("SAC", "CnnPolicy", "image", "box").path))
    assert sorted(network.state) == sorted(
        [
            *(f"actor.features_extractor.cnn.{i}.{part}" for i in (0, 2, 4) for part in ("weight", "bias")),
            *(f"actor.features_extractor.linear.0.{part}" for part in ("weight", "bias")),
            *(f"actor.latent_pi.{i}.{part}" for i in (0, 2) for part in ("weight", "bias")),
            *(f"actor.mu.{part}" for part in ("weight", "bias")),
        ]
    )
    assert network.extractor.cnn is not None
    assert network.extractor.cnn.strides == (4, 2, 1)
    assert network.extractor.cnn.paddings == (0, 0, 0)
    assert network.extractor.prefix == "actor.features_extractor."


def test_combined_extractor_names_its_image_keys(build: Any) -> None:
    saved = build("PPO", "MultiInputPolicy", "dict", "discrete")
    bundle = read_sb3_zip(saved.path)
    extractor = network_of(bundle).extractor
    assert extractor.image_keys == ("image",)
    assert extractor.prefix == "pi_features_extractor."
    assert isinstance(bundle.observation_space, DictSpace)
    image = dict(bundle.observation_space.spaces)["image"]
    assert isinstance(image, Box)
    assert image.shape == (1, 36, 36)
    assert (image.low, image.high, image.dtype) == ((0.0,), (255.0,), "uint8")


@pytest.mark.parametrize(
    ("activation_fn", "expected"),
    [
        (nn.ELU, Activation("elu")),
        (nn.SiLU, Activation("silu")),
        (nn.Tanh, Activation("tanh")),
        (partial(nn.LeakyReLU, negative_slope=0.2), Activation("leaky_relu", (("negative_slope", 0.2),))),
        (partial(nn.ReLU, inplace=True), Activation("relu")),
        (partial(nn.GELU, approximate="tanh"), Activation("gelu_tanh")),
    ],
)
def test_activation_is_read_from_its_text(build: Any, activation_fn: Any, expected: Activation) -> None:
    saved = build("PPO", "MlpPolicy", "vector", "box", activation_fn=activation_fn)
    assert network_of(read_sb3_zip(saved.path)).activation == expected


class Doubled(nn.Module):
    """An activation that no file can describe."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


@pytest.mark.parametrize("activation_fn", [Doubled, lambda: nn.LeakyReLU(0.2), nn.LogSigmoid])
def test_activation_of_the_authors_own_is_not_guessed(build: Any, activation_fn: Any) -> None:
    saved = build("SAC", "MlpPolicy", "vector", "box", activation_fn=activation_fn)
    stated = Overrides(activation=Activation("relu"))
    for overrides in (Overrides(), stated):
        with pytest.raises(UndeterminedAgentError, match="--check") as caught:
            read_sb3_zip(saved.path, overrides=overrides)
        assert "0x" not in str(caught.value)
    bundle = read_sb3_zip(saved.path, overrides=Overrides(activation=Activation("relu"), check="pairs.npz"))
    assert network_of(bundle).activation == Activation("relu")
    assert bundle.unproven
    assert bundle.check == "pairs.npz"


def test_stated_activation_that_contradicts_the_file_is_told(build: Any) -> None:
    saved = build("SAC", "MlpPolicy", "vector", "box", activation_fn=nn.ELU)
    bundle = read_sb3_zip(saved.path, overrides=Overrides(activation=Activation("relu")))
    assert bundle.notices == ("The activation is relu as stated; the file says elu.",)


def test_activation_of_a_network_without_hidden_layers_is_not_needed(build: Any) -> None:
    saved = build("PPO", "MlpPolicy", "vector", "box", activation_fn=Doubled, net_arch=[])
    assert sorted(network_of(read_sb3_zip(saved.path)).state) == ["action_net.bias", "action_net.weight"]


@pytest.mark.parametrize("algorithm", ["SAC", "TQC"])
def test_state_dependent_exploration_clips_the_mean(build: Any, algorithm: str) -> None:
    saved = build(algorithm, "MlpPolicy", "vector", "box", use_sde=True)
    bundle = read_sb3_zip(saved.path)
    assert_acts_like(bundle, saved.model)
    assert network_of(bundle).mean_clip == 2.0
    saved = build(algorithm, "MlpPolicy", "vector", "box", use_sde=True, clip_mean=0.7)
    assert network_of(read_sb3_zip(saved.path)).mean_clip == 0.7
    saved = build(algorithm, "MlpPolicy", "vector", "box", use_sde=True, clip_mean=0.0)
    assert network_of(read_sb3_zip(saved.path)).mean_clip is None


@pytest.mark.parametrize("squash_output", [False, True])
def test_actor_critics_squash_only_where_they_say_so(build: Any, squash_output: bool) -> None:
    saved = build("PPO", "MlpPolicy", "vector", "box", use_sde=True, squash_output=squash_output)
    bundle = read_sb3_zip(saved.path)
    assert_acts_like(bundle, saved.model)
    assert network_of(bundle).squash_output is squash_output


@pytest.mark.parametrize(("policy", "squashes"), [("MlpPolicy", True), ("LinearPolicy", False)])
def test_ars_squashes_by_class(build: Any, policy: str, squashes: bool) -> None:
    assert network_of(read_sb3_zip(build("ARS", policy, "vector", "box").path)).squash_output is squashes
    flipped = build("ARS", policy, "vector", "box", squash_output=not squashes)
    assert network_of(read_sb3_zip(flipped.path)).squash_output is not squashes


@pytest.mark.parametrize(
    ("algorithm", "policy", "observation"), [("PPO", "CnnPolicy", "image"), ("SAC", "MultiInputPolicy", "dict")]
)
@pytest.mark.parametrize("shared", [False, True])
def test_shared_and_separate_extractors(
    build: Any, algorithm: str, policy: str, observation: str, shared: bool
) -> None:
    saved = build(algorithm, policy, observation, "box", share_features_extractor=shared)
    assert_acts_like(read_sb3_zip(saved.path), saved.model)


def test_crossq_keeps_its_normalisation_layers(build: Any) -> None:
    saved = build("CrossQ", "MlpPolicy", "vector", "box", batch_norm_eps=0.01)
    network = network_of(read_sb3_zip(saved.path))
    assert network.norm_epsilon == 0.01
    parts = {name.rpartition(".")[2] for name in network.state if name.startswith("actor.latent_pi.0.")}
    assert parts == {"ra_mean", "ra_var", "scale", "bias"}


def test_quantiles_follow_from_the_tensors(build: Any) -> None:
    assert (
        network_of(read_sb3_zip(build("QRDQN", "MlpPolicy", "vector", "discrete", n_quantiles=7).path)).n_quantiles == 7
    )


def test_images_that_are_not_divided(build: Any) -> None:
    saved = build("DQN", "MlpPolicy", "vector", "discrete", normalize_images=False)
    assert not network_of(read_sb3_zip(saved.path)).normalize_images


def test_the_lstm_of_a_recurrent_policy_is_read(build: Any) -> None:
    saved = build("RecurrentPPO", "MlpLstmPolicy", "vector", "box", lstm_hidden_size=4)
    network = network_of(read_sb3_zip(saved.path))
    assert network.algorithm == "recurrent_ppo"
    assert network.state["lstm_actor.weight_hh_l0"].shape == (16, 4)
    assert not [name for name in network.state if "critic" in name]
