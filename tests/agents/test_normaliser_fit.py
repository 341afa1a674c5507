"""Statistics in the shape of the network: images, dicts, frames stacked after or before normalisation."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from normalised_agents import environment_of, normaliser
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize

from policypress.agents.normalisers.fit import Fitted, fitted
from policypress.agents.normalisers.vecnormalize import Statistics, read_statistics
from policypress.environments.spaces import from_gymnasium
from policypress_runtime.contract import Box, DictSpace, Discrete

WIDE = spaces.Box(-10, 10, (3,), np.float32)


def read(layer: VecNormalize) -> Statistics:
    return read_statistics(pickle.dumps(layer), "v")


def stacked(space: spaces.Space[Any], frames: int) -> tuple[VecNormalize, Box | DictSpace]:
    """VecFrameStack over VecNormalize, and the observations an agent reads behind both."""
    layer = normaliser(space)
    seen = from_gymnasium(VecFrameStack(layer, frames).observation_space)
    assert isinstance(seen, Box | DictSpace)
    return layer, seen


def test_frames_stacked_after_normalisation() -> None:
    layer, seen = stacked(WIDE, 4)
    found = fitted(read(layer), seen)
    assert isinstance(found, Fitted)
    assert found.frames == 4
    outer = VecFrameStack(normaliser(WIDE), 4)
    raw = np.arange(12.0)
    by_hand = np.concatenate([outer.venv.normalize_obs(frame[None])[0] for frame in raw.reshape(4, 3)])  # type: ignore[attr-defined]
    item = found.normalisers[""]
    got = np.clip((raw - item.mean) / np.sqrt(item.variance + item.epsilon), -item.clip, item.clip)
    np.testing.assert_allclose(got, by_hand, rtol=1e-5)


def test_frames_stacked_before_normalisation() -> None:
    base = VecFrameStack(environment_of(WIDE), 4)
    layer = normaliser(base.observation_space, environment=base)
    found = fitted(read(layer), Box((12,), "float32", (-10.0,), (10.0,)))
    assert isinstance(found, Fitted)
    assert found.frames == 1


def test_stated_frames_are_the_only_ones() -> None:
    layer, seen = stacked(WIDE, 4)
    assert isinstance(fitted(read(layer), seen, 4), Fitted)
    assert isinstance(fitted(read(layer), seen, 2), str)
    assert isinstance(fitted(read(layer), seen, 1), str)


def test_sizes_that_are_no_multiple_or_too_many() -> None:
    words = fitted(read(normaliser(WIDE)), Box((13,), "float32", (-10.0,), (10.0,)))
    assert isinstance(words, str)
    assert "(3,)" in words
    assert "(13,)" in words
    one = spaces.Box(-10, 10, (1,), np.float32)
    assert isinstance(fitted(read(normaliser(one)), Box((100,), "float32", (-10.0,), (10.0,))), str)


def test_bounds_that_are_not_each_frames_are_another_observation() -> None:
    uneven = spaces.Box(np.array([-1, -2, -3], np.float32), np.array([1, 2, 3], np.float32))
    layer, seen = stacked(uneven, 2)
    assert isinstance(fitted(read(layer), seen), Fitted)
    frame_by_frame = Box((6,), "float32", (-1.0, -2.0, -3.0) * 2, (1.0, 2.0, 3.0) * 2)
    assert isinstance(fitted(read(layer), frame_by_frame), Fitted)
    assert isinstance(fitted(read(layer), Box((6,), "float32", (-1.0,), (1.0,))), str)


def test_dict_observations() -> None:
    space = spaces.Dict({"a": WIDE, "b": spaces.Box(-1, 1, (2,), np.float32)})
    layer, seen = stacked(space, 3)
    found = fitted(read(layer), seen)
    assert isinstance(found, Fitted)
    assert {key: item.mean.shape for key, item in found.normalisers.items()} == {"a": (9,), "b": (6,)}
    # Every key is stacked as often.
    uneven = DictSpace((("a", Box((9,), "float32", (-10.0,), (10.0,))), ("b", Box((4,), "float32", (-1.0,), (1.0,)))))
    assert isinstance(fitted(read(layer), uneven), str)
    assert isinstance(fitted(read(layer), DictSpace((("a", Discrete(3)),))), str)
    assert isinstance(fitted(read(normaliser(WIDE)), seen), str)


@pytest.mark.parametrize("shape", [(6, 5, 1), (6, 5, 2)])
def test_images(shape: tuple[int, ...]) -> None:
    space = spaces.Box(0, 255, shape, np.uint8)
    layer = normaliser(space)
    for frames in (1, 4):
        channels = shape[2] * frames
        # Behind the normaliser, an image's bounds are those of its clip.
        found = fitted(read(layer), Box((channels, 6, 5), "float32", (-10.0,), (10.0,)))
        assert isinstance(found, Fitted)
        mean = np.moveaxis(found.normalisers[""].mean, 0, -1)
        assert np.array_equal(mean, np.concatenate([layer.obs_rms.mean] * frames, axis=-1))


def test_a_cube_whose_channels_are_not_certain() -> None:
    space = spaces.Box(0, 255, (6, 3, 3), np.uint8)
    cube = Box((6, 6, 3), "uint8", (0.0,), (255.0,))
    # Neither (6, 3, 6), nor that with its last axis first, nor (12, 3, 3).
    assert isinstance(fitted(read(normaliser(space)), cube), str)
    assert isinstance(fitted(read(normaliser(spaces.Box(0, 255, (3, 3, 3), np.uint8))), cube), str)
