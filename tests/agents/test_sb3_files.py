"""Zips that are old, stripped, damaged, or made to execute code."""

from __future__ import annotations

import base64
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sb3_files import (
    assert_acts_like,
    data_of,
    network_of,
    rewrite,
    set_fields,
    stripped,
    tensors_of,
    with_tensors,
)
from stable_baselines3.common.policies import ActorCriticPolicy

from policypress.agents.bundle import Activation, Sb3Network
from policypress.agents.overrides import Overrides
from policypress.agents.sb3.reading import read_sb3_zip
from policypress_runtime.contract import Box, DictSpace
from policypress_runtime.errors import (
    AgentError,
    DamagedAgentError,
    UndeterminedAgentError,
    UnsafeAgentError,
)


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
    # A class whose pickle names something else than the text beside it does is nobody's known class.
    with pytest.raises(UndeterminedAgentError, match="policy class"):
        read_sb3_zip(rewrite(saved.path, data=json.dumps(fields).encode()))
    fields["policy_class"] = data_of(saved.path)["policy_class"]
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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("[]()'<>. 01Boxclas", max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([":type:", "low", "n"]), inner),
    max_leaves=4,
)
FIELDS = ("policy_class", "policy_kwargs", "observation_space", "action_space", "env_id", "use_sde")
ARGUMENTS = (
    "activation_fn",
    "features_extractor_class",
    "normalize_images",
    "clip_mean",
    "_shape",
    "low",
    "dtype",
    "n",
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(field=st.sampled_from(FIELDS), inner=st.none() | st.sampled_from(ARGUMENTS), value=JSON)
def test_fields_of_any_form_are_read_or_are_agent_errors(
    own_agents: Path, tmp_path: Path, field: str, inner: str | None, value: Any
) -> None:
    source = own_agents / "sac-HalfCheetah-v4.zip"
    stored = data_of(source).get(field)
    changed = {**stored, inner: value} if inner is not None and isinstance(stored, dict) else value
    copy = tmp_path / source.name
    copy.write_bytes(source.read_bytes())
    try:
        bundle = read_sb3_zip(set_fields(copy, **{field: changed}))
    except AgentError:
        return
    assert isinstance(bundle.network, Sb3Network)


class OwnPolicy(ActorCriticPolicy):
    """A user's class: what it changes, no file tells."""


def test_policy_class_of_the_user(build: Any) -> None:
    saved = build("PPO", OwnPolicy, "vector", "box")
    for stated in (None, Activation("tanh")):
        with pytest.raises(UndeterminedAgentError, match=r"OwnPolicy[\s\S]*--check"):
            read_sb3_zip(saved.path, overrides=Overrides(activation=stated))
    bundle = read_sb3_zip(saved.path, overrides=Overrides(activation=Activation("tanh"), check="pairs.npz"))
    assert_acts_like(bundle, saved.model)
    assert bundle.alternatives == ()
    told = build("PPO", OwnPolicy, "vector", "box", activation_fn=torch.nn.ELU)
    read = read_sb3_zip(told.path, overrides=Overrides(check="pairs.npz"))
    assert network_of(read).activation == Activation("elu")
    assert Activation("relu") in [network.activation for network in read.alternatives]


def test_images_of_dicts_that_old_gym_prints_by_shape(build: Any) -> None:
    saved = build("DQN", "MultiInputPolicy", "dict", "discrete")
    boxes = "('image', Box(1, 36, 36)), ('vector', Box(4,))"
    text = f"OrderedDict([('bits', MultiBinary(2)), ('choice', Discrete(3)), {boxes}])"
    space = {**data_of(saved.path)["observation_space"], "spaces": text}
    read = read_sb3_zip(set_fields(saved.path, observation_space=space)).observation_space
    assert isinstance(read, DictSpace)
    assert dict(read.spaces)["image"] == Box((1, 36, 36), "uint8", (0.0,), (255.0,))
