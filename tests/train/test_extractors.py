"""The CNN of the second paper: its shapes, its place in a zip, and what it does not read."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import DQN
from torch import nn

from policypress.compression.pipeline import CalibrationData, build_artifact
from policypress.compression.recipe import Recipe
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress.training_package import TrainingRequest
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import TrainingInputError
from policypress_train.algorithms import ALGORITHMS
from policypress_train.extractors import EXTRACTORS, MnihCnn
from policypress_train.hyperparameters.preparing import prepare
from policypress_train.hyperparameters.settings import library_arguments
from policypress_train.model import build_model
from policypress_train.qat.config import QatConfig
from policypress_train.qat.layers import QatConv2d, QatLinear
from policypress_train.trainer import TrainOptions, train
from policypress_train.vector_envs.making import learning_environments

SCREEN = gymnasium.spaces.Box(0, 255, (4, 84, 84), np.uint8)


def test_its_layers_have_the_sizes_that_the_papers_state() -> None:
    network = MnihCnn(SCREEN)
    first, _, second, _, _ = network.cnn
    screens = torch.rand(2, 4, 84, 84)
    assert first(screens).shape == (2, 16, 20, 20)
    assert network.cnn[:4](screens).shape == (2, 32, 9, 9)
    assert network(screens).shape == (2, 256)
    assert float(network(screens).detach().min()) >= 0.0
    assert [layer.weight.shape for layer in (first, second)] == [(16, 4, 8, 8), (32, 16, 4, 4)]


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (gymnasium.spaces.Box(-1, 1, (4,)), "needs images"),
        (gymnasium.spaces.Discrete(3), "needs images"),
        (gymnasium.spaces.Box(0, 255, (4, 10, 84), np.uint8), "too small"),
    ],
)
def test_what_is_no_image_is_refused(space: gymnasium.Space[object], words: str) -> None:
    with pytest.raises(TrainingInputError, match=words):
        MnihCnn(space)


def test_a_training_selects_it_by_name() -> None:
    found = library_arguments(ALGORITHMS["dqn"], {"extractor": "mnih2013"}, 0)
    assert found == {"policy_kwargs": {"features_extractor_class": EXTRACTORS["mnih2013"], "net_arch": []}}
    kept = library_arguments(ALGORITHMS["sac"], {"extractor": "mnih2013", "policy_kwargs": {"n_critics": 1}}, 1)
    assert kept["policy_kwargs"] == {"n_critics": 1, "features_extractor_class": MnihCnn}
    with pytest.raises(TrainingInputError, match="mnih2013"):
        prepare(TrainingRequest("dqn", EnvironmentSpec("ALE/Pong-v5"), overrides=[("extractor", "resnet")]))
    vectors = prepare(
        TrainingRequest("dqn", EnvironmentSpec("CartPole-v1"), overrides=[("extractor", "mnih2013")])
    ).spec
    environments = learning_environments(vectors)
    with pytest.raises(TrainingInputError, match="needs images"):
        build_model(vectors, environments)
    environments.close()


@pytest.mark.parametrize("qat", [None, QatConfig()])
def test_on_atari_it_is_the_network_of_the_paper(qat: QatConfig | None) -> None:
    spec = prepare(
        TrainingRequest("dqn", EnvironmentSpec("ALE/Pong-v5"), overrides=[("buffer_size", 100)], by="li2023", qat=qat)
    ).spec
    environments = learning_environments(spec)
    network = build_model(spec, environments).policy.q_net  # type: ignore[union-attr,operator]
    environments.close()
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert isinstance(network.features_extractor, MnihCnn)
    assert [tuple(layer.weight.shape) for layer in layers] == [(16, 4, 8, 8), (32, 16, 4, 4), (256, 2592), (6, 256)]
    assert all(isinstance(layer, QatConv2d | QatLinear) for layer in layers) == (qat is not None)


@pytest.mark.slow
@pytest.mark.parametrize("qat", [None, QatConfig(observation_scaling=False, per_channel=False)])
def test_an_atari_agent_is_read_by_the_library_and_by_us_and_pressed(qat: QatConfig | None, tmp_path: Path) -> None:
    stated = [("buffer_size", 200), ("learning_starts", 60)]
    spec = prepare(
        TrainingRequest("dqn", EnvironmentSpec("ALE/Pong-v5"), overrides=stated, by="li2023", steps=240, qat=qat)
    ).spec
    train(spec, tmp_path / "pong.zip", options=TrainOptions(evaluate_every=0, stripped=True))
    subject = agent_in_environment(str(tmp_path / "pong.zip"))
    assert not any("strides" in notice for notice in subject.notices)
    screens = np.random.default_rng(0).integers(0, 256, (8, 84, 84, 4), dtype=np.uint8)  # as the environment gives them
    loaded = DQN.load(tmp_path / "pong.zip", device="cpu")
    if qat is None:
        expected, _ = loaded.predict(screens.transpose(0, 3, 1, 2), deterministic=True)
        actions = subject.policy(torch.from_numpy(screens)).numpy()
        assert actions.reshape(-1).tolist() == expected.tolist()
    recipe = Recipe.parse("none" if qat is None else "qat")
    record = build_artifact(subject.policy, recipe, CalibrationData(screens, screens, screens)).record
    share = record.packed_bytes / (4 * record.parameters)
    assert share == pytest.approx(1.0 if qat is None else 0.25, rel=0.01)
