"""Every algorithm, policy and space of Stable-Baselines3 reads as the live model is."""

from __future__ import annotations

import io
import json
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

from policypress.agent.bundle import Activation, AgentBundle, Sb3Network
from policypress.agent.defaults import FACTS, FAMILY_OF
from policypress.agent.overrides import Overrides
from policypress.agent.sb3 import read_sb3_zip
from policypress.contract import Box, DictSpace, Discrete, MultiBinary, MultiDiscrete, Space
from policypress.errors import (
    AgentError,
    DamagedAgentError,
    UndeterminedAgentError,
    UnsafeAgentError,
    UnsupportedAgentError,
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


def network_of(bundle: AgentBundle) -> Sb3Network:
    assert isinstance(bundle.network, Sb3Network)
    return bundle.network


def assert_same_space(read: Space, live: gymnasium.Space[Any]) -> None:
    match read:
        case Box():
            assert isinstance(live, gymnasium.spaces.Box)
            assert (read.shape, read.dtype) == (live.shape, str(live.dtype))
            low, high = read.bounds()
            np.testing.assert_allclose(low, live.low, rtol=1e-7)
            np.testing.assert_allclose(high, live.high, rtol=1e-7)
            if live.dtype == np.float32:
                assert np.array_equal(low.astype(np.float32), live.low)
        case Discrete():
            assert isinstance(live, gymnasium.spaces.Discrete)
            assert (read.n, read.start) == (live.n, live.start)
        case MultiDiscrete():
            assert isinstance(live, gymnasium.spaces.MultiDiscrete)
            assert read.nvec == tuple(live.nvec)
        case MultiBinary():
            assert isinstance(live, gymnasium.spaces.MultiBinary)
            assert read.n == live.n
        case DictSpace():
            assert isinstance(live, gymnasium.spaces.Dict)
            assert [key for key, _ in read.spaces] == list(live.spaces)
            for key, space in read.spaces:
                assert_same_space(space, live.spaces[key])


def assert_acts_like(bundle: AgentBundle, model: Any) -> None:
    """The tensors of every layer that ``predict`` runs through are there, and no others; flags are the model's."""
    network = network_of(bundle)
    live = {name: tensor.numpy().astype(np.float32) for name, tensor in model.policy.state_dict().items()}
    assert set(network.state) <= set(live)
    two_scores = network.algorithm == "maskable_ppo" and isinstance(bundle.action_space, MultiBinary)
    for name, array in network.state.items():
        assert array.dtype == np.float32
        if two_scores and name.startswith("action_net."):
            assert np.array_equal(array, live[name][1::2] - live[name][::2])
            continue
        assert np.array_equal(array, live[name])
    for word in ("critic", "target", "value_net", "vf_features_extractor", "log_std", "steps"):
        assert not any(word in name for name in network.state)
    assert network.squash_output == model.policy.squash_output
    assert_same_space(bundle.observation_space, model.observation_space)
    assert_same_space(bundle.action_space, model.action_space)


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


@pytest.mark.parametrize("activation_fn", [Doubled, lambda: nn.ReLU()])
def test_activation_that_is_not_told_names_the_flag(build: Any, activation_fn: Any) -> None:
    saved = build("SAC", "MlpPolicy", "vector", "box", activation_fn=activation_fn)
    with pytest.raises(UndeterminedAgentError, match="--activation"):
        read_sb3_zip(saved.path)
    stated = Overrides(activation=Activation("relu"))
    assert network_of(read_sb3_zip(saved.path, overrides=stated)).activation == Activation("relu")


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


def test_recurrent_policies_are_said_not_to_be_supported(build: Any) -> None:
    saved = build("RecurrentPPO", "MlpLstmPolicy", "vector", "box", lstm_hidden_size=4)
    with pytest.raises(UnsupportedAgentError, match="not supported yet"):
        read_sb3_zip(saved.path)


def rewrite(path: Path, **members: bytes | None) -> Path:
    """Copy of the zip with members replaced (``policy`` stands for ``policy.pth``) or left out (None)."""
    changed = path.with_name("changed.zip")
    replaced = {("policy.pth" if name == "policy" else name): content for name, content in members.items()}
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            content = replaced.get(name, old.read(name)) if name not in replaced else replaced[name]
            if content is not None:
                new.writestr(name, content)
    return changed


def data_of(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        data: dict[str, Any] = json.loads(archive.read("data"))
    return data


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    with zipfile.ZipFile(path) as archive:
        tensors: dict[str, torch.Tensor] = torch.load(io.BytesIO(archive.read("policy.pth")), weights_only=True)
    return tensors


def with_tensors(path: Path, tensors: dict[str, Any], **save: Any) -> Path:
    buffer = io.BytesIO()
    torch.save(tensors, buffer, **save)
    return rewrite(path, policy=buffer.getvalue())


def test_old_names_of_shared_layers_and_extractor(build: Any) -> None:
    """SB3 up to 1.7: ``shared_net`` before the policy's own layers, one ``features_extractor``."""
    saved = build("PPO", "MlpPolicy", "vector", "box", net_arch=[6])
    tensors = tensors_of(saved.path)
    old = {
        "mlp_extractor.shared_net.0.weight": torch.randn(8, 5),
        "mlp_extractor.shared_net.0.bias": torch.randn(8),
        "mlp_extractor.policy_net.0.weight": torch.randn(6, 8),
        **{name: tensors[name] for name in ("mlp_extractor.policy_net.0.bias", "action_net.weight", "action_net.bias")},
        "value_net.weight": torch.randn(1, 6),
    }
    network = network_of(read_sb3_zip(with_tensors(saved.path, old)))
    assert "mlp_extractor.shared_net.0.weight" in network.state
    assert "value_net.weight" not in network.state

    image = build("A2C", "CnnPolicy", "image", "discrete")
    only = {
        name: t for name, t in tensors_of(image.path).items() if not name.startswith(("pi_features", "vf_features"))
    }
    assert network_of(read_sb3_zip(with_tensors(image.path, only))).extractor.prefix == "features_extractor."


def test_checkpoints_from_before_torch_1_6(build: Any) -> None:
    saved = build("TD3", "MlpPolicy", "vector", "box")
    old = with_tensors(saved.path, tensors_of(saved.path), _use_new_zipfile_serialization=False)
    assert_acts_like(read_sb3_zip(old), saved.model)


def stripped(path: Path, prefix: str) -> Path:
    """What remains after a policy-only export: readable fields of a few entries, acting tensors."""
    data = data_of(path)
    kept: dict[str, Any] = {}
    for key in ("policy_class", "policy_kwargs", "observation_space", "action_space", "use_sde"):
        value = data[key]
        if isinstance(value, dict):
            value = {k: v for k, v in value.items() if k != ":serialized:" and " at 0x" not in str(v)}
        kept[key] = value
    kept["env_id"] = "Some-v3"
    tensors = {name: t for name, t in tensors_of(path).items() if name.startswith(prefix)}
    return rewrite(with_tensors(path, tensors).rename(path.with_name("acting.zip")), data=json.dumps(kept).encode())


@pytest.mark.parametrize(
    ("algorithm", "policy", "observation", "action", "prefix"),
    [
        ("DQN", "CnnPolicy", "image", "discrete", "q_net."),
        ("SAC", "MlpPolicy", "vector", "box", "actor."),
        ("TD3", "MultiInputPolicy", "dict", "box", "actor."),
        ("ARS", "LinearPolicy", "vector", "box", "action_net."),
        ("ARS", "MlpPolicy", "vector", "box", "action_net."),
        ("QRDQN", "MlpPolicy", "vector", "discrete", "quantile_net."),
        ("PPO", "MlpPolicy", "vector", "multi_discrete", ""),
    ],
)
def test_stripped_to_the_policy(
    build: Any, algorithm: str, policy: str, observation: str, action: str, prefix: str
) -> None:
    saved = build(algorithm, policy, observation, action)
    bundle = read_sb3_zip(stripped(saved.path, prefix))
    assert_acts_like(bundle, saved.model)
    assert bundle.algorithm == algorithm.lower()
    assert bundle.environment is not None
    assert (bundle.environment.id, bundle.notices) == ("Some-v3", ())


@pytest.mark.parametrize(
    ("name", "environment"),
    [
        ("HalfCheetah-v3.zip", "HalfCheetah-v3"),
        ("ppo-CartPole-v1.zip", "CartPole-v1"),
        ("ppo-PongNoFrameskip-v4.zip", "PongNoFrameskip-v4"),
        ("sac-MiniGrid-Empty-5x5-v0.zip", "MiniGrid-Empty-5x5-v0"),
        ("best_model.zip", None),
        ("final.zip", None),
    ],
)
def test_environment_is_guessed_from_the_name_with_a_notice(build: Any, name: str, environment: str | None) -> None:
    bundle = read_sb3_zip(build("PPO", "MlpPolicy", "vector", "discrete", name=name).path)
    assert (bundle.environment.id if bundle.environment else None) == environment
    assert any("--env overrides" in notice for notice in bundle.notices) == (environment is not None)


def test_algorithm_of_a_stripped_file_may_stand_in_its_name(build: Any) -> None:
    saved = build("TRPO", "MlpPolicy", "vector", "discrete")
    bare = stripped(saved.path, "")
    assert read_sb3_zip(bare).algorithm == "ppo"
    assert read_sb3_zip(bare.rename(bare.with_name("trpo-CartPole-v1.zip"))).algorithm == "trpo"


def set_fields(path: Path, **fields: Any) -> Path:
    return rewrite(path, data=json.dumps({**data_of(path), **fields}).encode())


def test_bounds_that_are_printed_shortened(build: Any) -> None:
    saved = build("SAC", "MlpPolicy", "vector", "box")
    wide = {**data_of(saved.path)["action_space"], "low": "[-1. -1. ... -1.]", "high": "[1. 1. ... 1.]"}
    with pytest.raises(UndeterminedAgentError, match="--env"):
        read_sb3_zip(set_fields(saved.path, action_space=wide))
    uniform = {**wide, "low_repr": "-1.0", "high_repr": "1.0"}
    read = read_sb3_zip(set_fields(saved.path, action_space=uniform)).action_space
    assert read == Box((3,), "float32", (-1.0,), (1.0,))
    stated = Overrides(action_space=Box((3,), "float32", (-2.0,), (2.0,)))
    assert read_sb3_zip(set_fields(saved.path, action_space=wide), overrides=stated).action_space == stated.action_space


def test_actor_that_scales_to_missing_bounds_is_undetermined(build: Any) -> None:
    saved = build("SAC", "MlpPolicy", "vector", "box")
    free = {**data_of(saved.path)["action_space"], "low": "[-inf -inf -inf]"}
    with pytest.raises(UndeterminedAgentError, match="--env"):
        read_sb3_zip(set_fields(saved.path, action_space=free))


@pytest.mark.parametrize(("member", "expected"), [("data", "'data'"), ("policy", "'policy.pth'")])
def test_missing_member_is_named(build: Any, member: str, expected: str) -> None:
    saved = build("DQN", "MlpPolicy", "vector", "discrete")
    with pytest.raises(DamagedAgentError, match=expected):
        read_sb3_zip(rewrite(saved.path, **{member: None}))


def test_weights_that_do_not_fit(build: Any) -> None:
    saved = build("SAC", "MlpPolicy", "vector", "box")
    tensors = tensors_of(saved.path)
    for name, wrong in (
        ("actor.latent_pi.0.weight", torch.zeros(8, 6)),
        ("actor.latent_pi.2.bias", torch.zeros(3)),
        ("actor.mu.weight", torch.zeros(4, 7)),
        ("actor.mu.weight", torch.zeros(4)),
        ("actor.mu.bias", torch.full((3,), torch.nan)),
        ("actor.mu.bias", torch.full((3,), torch.inf)),
    ):
        with pytest.raises(DamagedAgentError):
            read_sb3_zip(with_tensors(saved.path, {**tensors, name: wrong}))
    with pytest.raises(DamagedAgentError, match="output layer"):
        read_sb3_zip(with_tensors(saved.path, {n: t for n, t in tensors.items() if not n.startswith("actor.mu")}))


class RunsWhenLoaded:
    """Pickles as a call of ``builtins.exec`` that would create the canary file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({str(self.canary)!r}, 'w').close()",)


def test_code_in_policy_pth_is_refused_and_does_not_run(build: Any, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    saved = build("DQN", "MlpPolicy", "vector", "discrete")
    tensors: dict[str, Any] = {**tensors_of(saved.path), "extra": RunsWhenLoaded(canary)}
    for modern in (True, False):
        evil = with_tensors(saved.path, tensors, _use_new_zipfile_serialization=modern)
        with pytest.raises(UnsafeAgentError, match="exec"):
            read_sb3_zip(evil)
    assert not canary.exists()


def test_code_in_the_pickles_of_data_is_never_loaded(build: Any, tmp_path: Path) -> None:
    import base64
    import pickle

    canary = tmp_path / "canary"
    saved = build("DQN", "MlpPolicy", "vector", "discrete")
    code = base64.b64encode(pickle.dumps(RunsWhenLoaded(canary))).decode()
    fields = {
        key: {**value, ":serialized:": code}
        if isinstance(value, dict)
        else {":type:": "<class 'x.Y'>", ":serialized:": code}
        for key, value in data_of(saved.path).items()
    }
    fields["policy_kwargs"] = {":type:": "<class 'dict'>", ":serialized:": code, "net_arch": [8, 7]}
    bundle = read_sb3_zip(rewrite(saved.path, data=json.dumps(fields).encode()))
    assert_acts_like(bundle, saved.model)
    assert not canary.exists()


@pytest.mark.shared
def test_every_shared_agent_reads(shared_agents: Path) -> None:
    paths = sorted(shared_agents.glob("*/*.zip"))
    assert len(paths) >= 10
    for path in paths:
        bundle = read_sb3_zip(path)
        assert bundle.algorithm == path.parent.name.partition("-")[0]
        assert bundle.environment is not None
        assert bundle.environment.id == path.stem
        assert network_of(bundle).state


def test_every_agent_of_the_repository_reads(own_agents: Path) -> None:
    for path in sorted(own_agents.glob("*.zip")):
        bundle = read_sb3_zip(path)
        assert path.stem == f"{bundle.algorithm}-{bundle.environment.id if bundle.environment else ''}"


def test_errors_are_agent_errors(tmp_path: Path) -> None:
    path = tmp_path / "not.zip"
    path.write_bytes(b"not a zip")
    with pytest.raises(AgentError, match="zip"):
        read_sb3_zip(path)
