"""Preprocessing against Stable-Baselines3's own ``preprocess_obs`` and what it calls an image."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sb3_models import DICTS, OBSERVATIONS, draw
from stable_baselines3.common.preprocessing import is_image_space, preprocess_obs

from policypress.agents.bundle import Normaliser
from policypress.environments.spaces import from_gymnasium
from policypress.policy.observation_layers import add_preprocessing, channel_last, is_any_image, is_image
from policypress.policy.policy import GraphBuilder
from policypress_runtime.contract import Discrete, Space, box
from policypress_runtime.errors import NetworkError

SINGLE = [name for name in OBSERVATIONS if name not in DICTS]


def preprocessed(
    space: gym.Space[Any], values: np.ndarray[Any, Any], caller: Space | None = None, **settings: Any
) -> torch.Tensor:
    graph = GraphBuilder()
    told = from_gymnasium(space)
    name = add_preprocessing(
        graph, "", told, **{"normaliser": None, "normalize_images": True, "transpose": False, **settings}
    )
    if not graph.nodes:
        return torch.from_numpy(values).float()
    policy = graph.policy(caller or told, told, None)
    return policy.run(torch.from_numpy(values))[name]


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("normalize_images", [True, False])
def test_same_features_as_preprocess_obs(name: str, normalize_images: bool) -> None:
    space = OBSERVATIONS[name]
    values = draw(space, 12, np.random.default_rng(0))
    want = preprocess_obs(torch.from_numpy(values), space, normalize_images)
    got = preprocessed(space, values, normalize_images=normalize_images)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=2e-7)


@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.Box(0, 255, (4, 4, 3), np.uint8),
        gym.spaces.Box(0, 255, (4, 4), np.uint8),
        gym.spaces.Box(0, 254, (4, 4, 3), np.uint8),
        gym.spaces.Box(0, 255, (4, 4, 3), np.float32),
        gym.spaces.Box(1, 255, (4, 4, 3), np.uint8),
        gym.spaces.Discrete(3),
    ],
    ids=str,
)
def test_images_are_what_the_library_calls_images(space: gym.Space[Any]) -> None:
    assert is_image(from_gymnasium(space)) == is_image_space(space)


def test_any_image() -> None:
    assert is_any_image(box((3, 4, 4), "float32", -1, 1))
    assert not is_any_image(box((3, 4), "uint8", 0, 255))
    assert not is_any_image(Discrete(3))
    assert channel_last(box((3, 5, 4), "uint8", 0, 255)).shape == (5, 4, 3)


@given(start=st.integers(-3, 3), n=st.integers(1, 5))
def test_choices_count_from_their_start(start: int, n: int) -> None:
    values = np.arange(start, start + n)
    assert torch.equal(preprocessed(gym.spaces.Discrete(n, start=start), values), torch.eye(n))


@pytest.mark.parametrize("layout", ["network", "environment"])
def test_statistics_in_either_layout(layout: str) -> None:
    rng = np.random.default_rng(0)
    network = gym.spaces.Box(0, 255, (2, 5, 4), np.uint8)
    mean, variance = rng.uniform(0, 255, (2, 5, 4)), rng.uniform(1, 9, (2, 5, 4))
    if layout == "environment":
        mean, variance = np.moveaxis(mean, 0, -1), np.moveaxis(variance, 0, -1)
    images = rng.integers(0, 256, (3, 5, 4, 2), dtype=np.uint8)
    got = preprocessed(
        network,
        images,
        normaliser=Normaliser(mean, variance, 1e-8, 10.0),
        transpose=True,
        caller=channel_last(from_gymnasium(network)),  # type: ignore[arg-type]
    )
    moved = np.moveaxis(images, -1, 1)
    if layout == "environment":
        mean, variance = np.moveaxis(mean, -1, 0), np.moveaxis(variance, -1, 0)
    want = np.clip((moved - mean) / np.sqrt(variance + 1e-8), -10, 10) / 255
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-5, atol=1e-7)


def test_statistics_of_another_shape() -> None:
    with pytest.raises(NetworkError, match=r"statistics[\s\S]*\(4,\)[\s\S]*\(5,\)"):
        preprocessed(
            gym.spaces.Box(-1, 1, (5,)),
            np.zeros((1, 5), np.float32),
            normaliser=Normaliser(np.zeros(4), np.ones(4), 1e-8, 10.0),
        )
