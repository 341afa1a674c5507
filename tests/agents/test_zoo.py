"""RL Zoo folders: which zip, which statistics, which environment."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from gymnasium import spaces
from sb3_files import set_fields
from spaces_environment import OBSERVATIONS, SpacesEnvironment
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn

from policypress.agents.bundle import Activation, Sb3Network
from policypress.agents.overrides import Overrides
from policypress.agents.zoo.reading import read_zoo_folder, read_zoo_zip
from policypress_runtime.contract import Box, WrapperSpec
from policypress_runtime.errors import AgentError, DamagedAgentError, UnsafeAgentError


def statistics(space: spaces.Space[Any], **settings: Any) -> bytes:
    made = VecNormalize(DummyVecEnv([lambda: SpacesEnvironment(space, spaces.Discrete(2))]), **settings)
    made.reset()
    for _ in range(10):
        made.step(np.zeros(1, int))
    return pickle.dumps(made)


def experiment(folder: Path, zip_path: Path, name: str, **files: Any) -> Path:
    """Folder with the zip as ``name`` and files by name (``__`` for the dot)."""
    folder.mkdir(parents=True, exist_ok=True)
    zip_path.rename(folder / name)
    for file, content in files.items():
        path = folder / file.replace("__", ".")
        path.write_bytes(content if isinstance(content, bytes) else yaml.safe_dump(content).encode())
    return folder


VECTOR = OBSERVATIONS["vector"]
TIME_FEATURE = "sb3_contrib.common.wrappers.TimeFeatureWrapper"


@pytest.mark.parametrize("statistics_name", ["vecnormalize__pkl", "vec_normalize__pkl"])
def test_everything_in_one_folder(build: Any, tmp_path: Path, statistics_name: str) -> None:
    saved = build("PPO", "MlpPolicy", "vector", "box")
    folder = experiment(
        tmp_path / "ppo-My-v1_1", saved.path, "My-v1.zip",
        config__yml={"normalize": True, "env_wrapper": TIME_FEATURE, "n_timesteps": 5},
        args__yml={"algo": "ppo", "env": "My-v1", "env_kwargs": {"mass": 2}},
        **{statistics_name: statistics(VECTOR)},
    )  # fmt: skip
    for bundle in (read_zoo_folder(folder), read_zoo_zip(folder / "My-v1.zip")):
        assert bundle.environment is not None
        assert bundle.environment.id == "My-v1"
        assert bundle.environment.kwargs == (("mass", 2),)
        assert bundle.environment.wrappers == (WrapperSpec("TimeFeatureWrapper"),)
        assert bundle.caller_supplies == ("time_feature",)
        assert bundle.normaliser[""].mean.shape == (5,)
        assert bundle.provenance.training["n_timesteps"] == 5
        assert bundle.notices == ()


def test_files_in_a_folder_named_as_the_environment(build: Any, tmp_path: Path) -> None:
    saved = build("PPO", "MlpPolicy", "vector", "box")
    folder = experiment(tmp_path / "My-v1_3", saved.path, "My-v1.zip")
    (folder / "My-v1").mkdir()
    (folder / "My-v1" / "config.yml").write_text("normalize: true\n")
    (folder / "My-v1" / "vecnormalize.pkl").write_bytes(statistics(VECTOR))
    assert read_zoo_folder(folder).normaliser
    assert read_zoo_zip(folder / "My-v1.zip").normaliser


def test_best_model_where_there_is_no_last_one(build: Any, tmp_path: Path) -> None:
    saved = build("A2C", "MlpPolicy", "vector", "box")
    folder = experiment(tmp_path / "My-v1_3", saved.path, "best_model.zip")
    (folder / "rl_model_1000_steps.zip").write_bytes(b"a checkpoint")
    (folder / "train_eval_metrics.zip").write_bytes(b"no agent")
    (folder / "My-v1").mkdir()
    (folder / "My-v1" / "args.yml").write_text("algo: a2c\nenv: My-v1\n")
    bundle = read_zoo_folder(folder)
    assert bundle.environment is not None
    assert (bundle.algorithm, bundle.environment.id) == ("a2c", "My-v1")


def test_files_of_an_agent_beside_are_not_taken(build: Any, tmp_path: Path) -> None:
    saved = build("PPO", "MlpPolicy", "vector", "box")
    folder = experiment(tmp_path / "agents", saved.path, "mine.zip")
    (folder / "other-v1").mkdir()
    (folder / "other-v1" / "config.yml").write_text("normalize: true\n")
    assert not read_zoo_zip(folder / "mine.zip").normaliser


def test_the_zip_that_the_names_point_to(build: Any, tmp_path: Path) -> None:
    saved = build("PPO", "MlpPolicy", "vector", "box")
    folder = experiment(tmp_path / "x", saved.path, "My-v1.zip", args__yml={"env": "My-v1"})
    (folder / "Other-v1.zip").write_bytes(b"not read")
    assert read_zoo_folder(folder).algorithm == "ppo"
    (folder / "args.yml").unlink()
    with pytest.raises(AgentError, match="several agents"):
        read_zoo_folder(folder)


def test_a_folder_without_agent_lists_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(AgentError, match=r"no agent[\s\S]*notes\.txt"):
        read_zoo_folder(tmp_path)


def test_missing_statistics_are_named(build: Any, tmp_path: Path) -> None:
    saved = build("PPO", "MlpPolicy", "vector", "box")
    folder = experiment(tmp_path / "x", saved.path, "My-v1.zip", config__yml={"normalize": True})
    with pytest.raises(DamagedAgentError, match=r"vecnormalize\.pkl"):
        read_zoo_folder(folder)
    (folder / "config.yml").write_text("normalize: \"{'norm_obs': False, 'norm_reward': True}\"\n")
    assert read_zoo_folder(folder).normaliser == {}


def test_statistics_that_no_config_calls_for(build: Any, tmp_path: Path) -> None:
    saved = build("PPO", "MlpPolicy", "vector", "box")
    folder = experiment(tmp_path / "x", saved.path, "a.zip", vecnormalize__pkl=statistics(VECTOR))
    bundle = read_zoo_zip(folder / "a.zip")
    assert bundle.normaliser
    assert any("vecnormalize.pkl" in notice for notice in bundle.notices)
    (folder / "config.yml").write_text("normalize: false\n")
    bundle = read_zoo_zip(folder / "a.zip")
    assert not bundle.normaliser
    assert any("not used" in notice for notice in bundle.notices)


def test_statistics_of_another_agent(build: Any, tmp_path: Path) -> None:
    saved = build("PPO", "MlpPolicy", "vector", "box")
    other = spaces.Box(-1, 1, (4,), np.float32)
    folder = experiment(tmp_path / "x", saved.path, "a.zip", vecnormalize__pkl=statistics(other))
    with pytest.raises(DamagedAgentError, match="do not fit"):
        read_zoo_folder(folder)


def test_dict_observations(build: Any, tmp_path: Path) -> None:
    saved = build("PPO", "MultiInputPolicy", "dict_of_vectors", "box")
    made = statistics(OBSERVATIONS["dict_of_vectors"], norm_obs_keys=["b"])
    folder = experiment(tmp_path / "x", saved.path, "a.zip", config__yml={"normalize": True}, vecnormalize__pkl=made)
    assert list(read_zoo_folder(folder).normaliser) == ["b"]


def test_stacked_frames_repeat_the_statistics(build: Any, tmp_path: Path) -> None:
    saved = build("PPO", "MlpPolicy", "six", "box")
    three = spaces.Box(-1, 1, (3,), np.float32)
    folder = experiment(
        tmp_path / "x", saved.path, "a.zip",
        config__yml={"normalize": True, "frame_stack": 2}, vecnormalize__pkl=statistics(three),
    )  # fmt: skip
    bundle = read_zoo_folder(folder)
    mean = bundle.normaliser[""].mean
    assert np.array_equal(mean[:3], mean[3:])
    assert any("stacked" in notice for notice in bundle.notices)


def test_images_in_the_order_of_the_network(build: Any, tmp_path: Path) -> None:
    saved = build("PPO", "MlpPolicy", "normalised_image", "box", normalize_images=False)
    raw = spaces.Box(0, 255, (6, 5, 2), np.uint8)
    folder = experiment(
        tmp_path / "x", saved.path, "a.zip", config__yml={"normalize": True}, vecnormalize__pkl=statistics(raw)
    )
    assert read_zoo_folder(folder).normaliser[""].mean.shape == (2, 6, 5)


def test_what_the_zip_leaves_open_the_config_may_tell(build: Any, tmp_path: Path) -> None:
    saved = build("PPO", "MlpPolicy", "vector", "box", activation_fn=nn.ELU)
    silent = set_fields(saved.path, policy_kwargs=None)
    expression = "dict(activation_fn=nn.ELU)"
    folder = experiment(tmp_path / "x", silent, "a.zip", config__yml={"policy_kwargs": expression})
    network = read_zoo_folder(folder).network
    assert isinstance(network, Sb3Network)
    assert network.activation == Activation("elu")
    stated = read_zoo_folder(folder, overrides=Overrides(activation=Activation("relu"))).network
    assert isinstance(stated, Sb3Network)
    assert stated.activation == Activation("relu")


def test_code_in_the_files_around_the_zip(build: Any, tmp_path: Path) -> None:
    saved = build("PPO", "MlpPolicy", "vector", "box")
    canary = tmp_path / "canary"
    folder = experiment(tmp_path / "x", saved.path, "a.zip")
    for name, content in {
        "config.yml": f"policy_kwargs: \"open('{canary}', 'w')\"",
        "args.yml": f"!!python/object/apply:os.system ['touch {canary}']",
        "env_kwargs.yml": f"a: !!python/object/apply:os.system ['touch {canary}']",
        "vecnormalize.pkl": f"cos\nsystem\n(S'touch {canary}'\ntR.",
    }.items():
        (folder / name).write_text(content)
        with pytest.raises(UnsafeAgentError):
            read_zoo_folder(folder)
        (folder / name).unlink()
    (folder / "config.yml").write_text("env_wrapper: os.system\n")
    bundle = read_zoo_folder(folder)
    assert bundle.environment is None or bundle.environment.wrappers == (WrapperSpec("os.system"),)
    assert not canary.exists()


@pytest.mark.shared
def test_every_shared_folder(shared_agents: Path) -> None:
    folders = sorted(path for path in shared_agents.iterdir() if (path / "config.yml").is_file())
    assert len(folders) >= 10
    for folder in folders:
        bundle = read_zoo_folder(folder)
        assert bundle.environment is not None
        assert f"{bundle.algorithm}-{bundle.environment.id}" == folder.name
        assert bool(bundle.normaliser) == (folder / "vecnormalize.pkl").is_file()
        assert isinstance(bundle.observation_space, Box)
        if bundle.normaliser:
            assert bundle.normaliser[""].mean.shape == bundle.observation_space.shape
        assert bundle.notices == ()
        assert len(bundle.provenance.sha256) == 64
