from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from checkpoint_policies import cnn_dqn, dict_td3, observations_of, sac
from policypress.compression import calibration
from policypress.export.parity import to_tensors
from policypress.policy.policy import Policy
from policypress_runtime.contract import DictSpace, Discrete, box


@given(st.integers(1, 40), st.integers(1, 50))
def test_chunks_cover_every_row_once_and_in_order(count: int, rows: int) -> None:
    observations = np.arange(count * 3, dtype=np.float32).reshape(count, 3)
    parts = [part.numpy() for part in calibration.chunks(observations, rows)]
    assert all(0 < len(part) <= rows for part in parts)
    np.testing.assert_array_equal(np.concatenate(parts), observations)


def test_chunks_of_a_dict_keep_rows_together() -> None:
    observations = {"a": np.arange(10), "b": np.arange(20).reshape(10, 2)}
    parts = list(calibration.chunks(observations, 4))
    assert [len(part["a"]) for part in parts] == [4, 4, 2]
    for part in parts:
        assert (part["b"][:, 0] == 2 * part["a"]).all()


def values_read(policy: Policy, observations: object) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        values = policy.run(to_tensors(observations))
    return {policy.node(name).inputs[0]: values[policy.node(name).inputs[0]] for name, _ in policy.weighted_layers()}


@pytest.mark.parametrize("build", [sac, cnn_dqn, dict_td3])
def test_statistics_are_those_of_all_observations_at_once(build: type[Policy]) -> None:
    policy = build()
    observations = observations_of(policy.observation_space, calibration.CHUNK_ROWS + 70)
    expected = values_read(policy, observations)
    peaks, ranges = calibration.channel_peaks(policy, observations), calibration.ranges(policy, observations)
    assert peaks.keys() == ranges.keys() == expected.keys()
    for name, value in expected.items():
        peak = value.abs().transpose(0, 1).flatten(1).amax(1)
        torch.testing.assert_close(peaks[name], peak, rtol=1e-5, atol=1e-6)
        assert ranges[name] == pytest.approx((float(value.min()), float(value.max())), rel=1e-5, abs=1e-6)


def test_what_two_layers_read_is_looked_at_once() -> None:
    policy = sac()
    observations = observations_of(policy.observation_space, 5)
    assert len(calibration.ranges(policy, observations)) == 3
    peak = calibration.channel_peaks(policy, observations)["observation"]
    torch.testing.assert_close(peak, torch.from_numpy(np.abs(observations).max(0)))


@pytest.mark.parametrize(
    ("size", "count", "expected"), [(10, 3, [0, 4, 9]), (3, 10, [0, 1, 2]), (1, 1, [0]), (5, 1, [0])]
)
def test_spread_rows(size: int, count: int, expected: list[int]) -> None:
    rows = np.arange(size)
    assert calibration.spread_rows(rows[:, None], count).ravel().tolist() == expected
    assert calibration.spread_rows({"a": rows, "b": 2 * rows}, count)["b"].tolist() == [2 * row for row in expected]


def test_neighbours_stand_beside_what_was_seen() -> None:
    rng = np.random.default_rng(0)
    seen = (rng.normal(size=(4000, 2)) * [1.0, 100.0]).astype(np.float32)
    both = calibration.with_neighbours(seen, 0)
    assert both.dtype == np.float32
    np.testing.assert_array_equal(both[:4000], seen)
    np.testing.assert_allclose((both[4000:] - seen).std(0), calibration.NOISE * seen.std(0), rtol=0.05)
    assert (both.min(0) == seen.min(0)).all()
    assert (both.max(0) == seen.max(0)).all()
    np.testing.assert_array_equal(calibration.with_neighbours(seen, 0), both)
    assert (calibration.with_neighbours(seen, 1)[4000:] != both[4000:]).any()


def test_integers_have_no_neighbours() -> None:
    images = np.arange(24, dtype=np.uint8).reshape(4, 6)
    np.testing.assert_array_equal(calibration.with_neighbours(images, 0), images)
    np.testing.assert_array_equal(calibration.with_neighbours({"image": images}, 0)["image"], images)
    vector = np.linspace(0, 1, 12, dtype=np.float32).reshape(4, 3)
    both = calibration.with_neighbours({"image": images, "vector": vector}, 0)
    np.testing.assert_array_equal(both["image"], np.concatenate([images, images]))
    assert both["vector"].shape == (8, 3)


def test_features_that_never_moved_though_they_may() -> None:
    space = box((4,), "float32", np.array([-1, -1, 0, -np.inf]), np.array([1, 1, 0, np.inf]))
    observations = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
    assert calibration.constant_features(space, observations) == ()
    observations[:, 1:] = 0
    # The third cannot move, so that it did not says nothing.
    assert calibration.constant_features(space, observations) == ("1", "3")
    assert calibration.constant_features(space, observations[:1]) == ()
    image, choice = box((3, 8, 8), "uint8", 0, 255), Discrete(3)
    parts = {"camera": np.zeros((10, 3, 8, 8), np.uint8), "gear": np.zeros(10, np.int64), "speed": observations}
    whole = DictSpace((("camera", image), ("gear", choice), ("speed", space)))
    assert calibration.constant_features(whole, parts) == ("speed[1]", "speed[3]")


def test_features_in_words() -> None:
    assert calibration.constant_features_notice(("2",)).startswith(
        "Observation feature 2 never changed in the calibration data"
    )
    many = calibration.constant_features_notice([f"speed[{i}]" for i in range(20)])
    assert many.startswith("Observation features speed[0], speed[1], ")
    assert "speed[7] and 12 more never changed" in many
