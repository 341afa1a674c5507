from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policypress.environments.extremes import extremes
from policypress_runtime.contract import DictSpace, Discrete, MultiBinary, MultiDiscrete, Space, box
from policypress_runtime.errors import ObservationError

RNG = np.random.default_rng
UNBOUNDED = box((3,), "float64", -np.inf, np.inf)


def test_unbounded_components_reach_far_and_ten_times_the_visited() -> None:
    visited = RNG(0).normal(size=(50, 3)) * [0.1, 1, 20]
    found = extremes(UNBOUNDED, visited, 60, RNG(1))
    assert isinstance(found, np.ndarray)
    assert (found[0] == -1e6).all()
    assert (found[1] == 1e6).all()
    assert (found[2] == 0).all()
    reach = (10 * np.abs(visited).max(axis=0)).astype(np.float32)
    for component in range(3):
        assert np.isin(
            [reach[component], -reach[component]], np.abs(found[:, component]) * np.sign(found[:, component])
        ).all()


def test_values_are_finite_and_exact_in_float32() -> None:
    visited = RNG(0).normal(size=(20, 3))
    found = extremes(UNBOUNDED, visited, 30, RNG(0))
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float64
    assert np.isfinite(found).all()
    assert np.array_equal(found, found.astype(np.float32).astype(np.float64))


def test_a_third_changes_one_component_of_a_visited_observation() -> None:
    visited = RNG(0).normal(size=(20, 3)).astype(np.float32)
    found = extremes(box((3,), "float32", -np.inf, np.inf), visited, 40, RNG(0))
    assert isinstance(found, np.ndarray)
    for row in found[4::3]:
        assert max(int((row == known).sum()) for known in visited) == 2


def test_finite_bounds_are_kept() -> None:
    space = box((2,), "float32", [-2, 0], [2, 5])
    found = extremes(space, np.array([[0.5, 1.0], [1.0, 2.0]], np.float32), 20, RNG(0))
    assert isinstance(found, np.ndarray)
    assert found[0].tolist() == [-2, 0]
    assert found[1].tolist() == [2, 5]
    assert (found >= [-2, 0]).all()
    assert (found <= [2, 5]).all()


def test_a_huge_bound_counts_as_none() -> None:
    space = box((1,), "float32", -3.4e38, 3.4e38)
    found = extremes(space, np.ones((4, 1), np.float32), 30, RNG(0))
    assert isinstance(found, np.ndarray)
    assert np.abs(found).max() == 1e6


def test_images_are_black_white_and_noise() -> None:
    space = box((4, 4, 1), "uint8", 0, 255)
    found = extremes(space, np.full((5, 4, 4, 1), 7, np.uint8), 9, RNG(0))
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.uint8
    assert found[0].max() == 0
    assert found[1].min() == 255
    assert set(np.unique(found[3])) == {0, 255}


@pytest.mark.parametrize(
    ("space", "visited", "low", "high"),
    [
        (Discrete(5, start=2), np.array([3, 4]), 2, 6),
        (MultiDiscrete((2, 4)), np.array([[0, 1], [1, 2]]), [0, 0], [1, 3]),
        (MultiBinary(3), np.array([[0, 1, 0]], np.int8), [0, 0, 0], [1, 1, 1]),
    ],
    ids=str,
)
def test_choices_stay_in_their_range(space: Space, visited: np.ndarray, low: object, high: object) -> None:
    found = extremes(space, visited, 12, RNG(0))
    assert isinstance(found, np.ndarray)
    assert found.dtype == visited.dtype
    assert np.array_equal(found[0], low)
    assert np.array_equal(found[1], high)
    assert (found >= low).all()
    assert (found <= high).all()


@given(st.integers(1, 20), st.integers(0, 9))
def test_dicts_and_determinism(count: int, seed: int) -> None:
    space = DictSpace((("x", UNBOUNDED), ("k", Discrete(4))))
    visited = {"x": RNG(0).normal(size=(6, 3)), "k": np.array([0, 1, 2, 3, 1, 2])}
    first, second = (extremes(space, visited, count, RNG(seed)) for _ in range(2))
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    for key, value in first.items():
        assert len(value) == count
        assert np.array_equal(value, second[key])


def test_wrong_batches_are_refused() -> None:
    with pytest.raises(ObservationError, match="at least 1"):
        extremes(UNBOUNDED, np.zeros((0, 3)), 3, RNG(0))
    with pytest.raises(ObservationError, match="dict"):
        extremes(DictSpace((("x", UNBOUNDED),)), np.zeros((2, 3)), 3, RNG(0))
    with pytest.raises(ObservationError, match="dict"):
        extremes(UNBOUNDED, {"x": np.zeros((2, 3))}, 3, RNG(0))
