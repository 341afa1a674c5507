from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from policypress.environments.making import SpecFactory
from policypress.environments.observations import RecordedObservations, size_of, visited
from policypress_runtime.contract import DictSpace, Discrete, EnvironmentSpec, box
from policypress_runtime.errors import ObservationError

VECTOR = box((3,), "float32", -1, 1)
CARTPOLE = SpecFactory(EnvironmentSpec("CartPole-v1"))


class Steps(gymnasium.Env[Any, Any]):
    """Observes (episode, time); never ends; the value at one time may be NaN."""

    def __init__(self, bad_time: int | None = None) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space = spaces.Discrete(2)
        self.closed = False
        self._bad, self._episode, self._time = bad_time, -1, 0

    def _observation(self) -> np.ndarray:
        return np.array([self._episode, np.nan if self._time == self._bad else self._time])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self._episode, self._time = self._episode + 1, 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._time += 1
        return self._observation(), 0.0, False, False, {}

    def close(self) -> None:
        self.closed = True


def balance(observation: Any) -> int:
    return int(observation[2] > 0)


def test_visited_is_reproducible_and_named_by_purpose() -> None:
    first, again, other = (visited(CARTPOLE, balance, count=50, seed=0, purpose=purpose) for purpose in ("a", "a", "b"))
    assert isinstance(first, np.ndarray)
    assert first.shape == (50, 4)
    assert first.dtype == np.float32
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_visited_spreads_over_whole_episodes_in_order() -> None:
    env = Steps()
    batch = visited(lambda: env, lambda _: 0, count=400, seed=0, purpose="p", episodes=4, max_steps=500)
    assert isinstance(batch, np.ndarray)
    assert env.closed
    assert np.array_equal(np.bincount(batch[:, 0].astype(int), minlength=4) > 60, [True] * 4)
    assert (np.diff(batch[:, 0] * 500 + batch[:, 1]) > 0).all()
    assert abs(batch[:, 1].mean() - 250) < 25


def test_visited_plays_on_until_there_are_enough() -> None:
    batch = visited(CARTPOLE, lambda _: 0, count=300, seed=0, purpose="p", episodes=1)
    assert size_of(batch) == 300


def test_an_environment_that_gives_nan_is_told() -> None:
    env = Steps(bad_time=3)
    with pytest.raises(ObservationError, match="environment gave"):
        visited(lambda: env, lambda _: 0, count=10, seed=0, purpose="p", episodes=1, max_steps=10)
    assert env.closed


def test_recorded_observations_of_a_vector(tmp_path: Path) -> None:
    path = tmp_path / "logged.npz"
    values = np.random.default_rng(0).uniform(-1, 1, (20, 3))
    np.savez(path, observations=values)
    recorded = RecordedObservations.load(path, VECTOR)
    assert isinstance(recorded.batch, np.ndarray)
    assert recorded.batch.dtype == np.float32
    assert np.allclose(recorded.batch, values)
    few = recorded.sample(5, seed=0, purpose="p")
    assert size_of(few) == 5
    assert np.array_equal(few, recorded.sample(5, seed=0, purpose="p"))
    assert np.array_equal(recorded.sample(100, seed=0, purpose="p"), recorded.batch)


def test_recorded_observations_of_a_dict(tmp_path: Path) -> None:
    path = tmp_path / "logged.npz"
    np.savez(path, x=np.zeros((4, 3)), k=np.array([0, 1, 2, 1]), extra=np.zeros(1))
    recorded = RecordedObservations.load(path, DictSpace((("x", VECTOR), ("k", Discrete(3)))))
    assert isinstance(recorded.batch, dict)
    assert list(recorded.batch) == ["x", "k"]
    assert recorded.batch["k"].dtype == np.int64


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"other": np.zeros((2, 3))}, "lacks"),
        ({}, "lacks"),
        ({"observations": np.zeros((2, 4))}, r"\(2, 4\)"),
        ({"observations": np.zeros(3)}, "do not fit"),
        ({"observations": np.zeros((0, 3))}, "empty"),
        ({"observations": np.array([[0, 0, 0], [0, np.nan, 0]])}, "row 1"),
        ({"observations": np.array([[0, 0, np.inf]])}, "finite"),
        ({"observations": np.array([["a", "b", "c"]])}, "not numbers"),
        ({"observations": np.array([[1e300, 0, 0]])}, "finite"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_recordings_that_do_not_fit(tmp_path: Path, arrays: dict[str, np.ndarray], match: str) -> None:
    path = tmp_path / "logged.npz"
    np.savez(path, **arrays)
    with pytest.raises(ObservationError, match=match):
        RecordedObservations.load(path, VECTOR)


def test_arrays_of_different_lengths_and_broken_integers(tmp_path: Path) -> None:
    path = tmp_path / "logged.npz"
    space = DictSpace((("x", VECTOR), ("k", Discrete(3))))
    np.savez(path, x=np.zeros((4, 3)), k=np.array([0, 1]))
    with pytest.raises(ObservationError, match="different lengths"):
        RecordedObservations.load(path, space)
    np.savez(path, x=np.zeros((2, 3)), k=np.array([0.5, 1]))
    with pytest.raises(ObservationError, match="int64"):
        RecordedObservations.load(path, space)
    np.savez(path, x=np.zeros((2, 3)), k=np.array([0, 3]))
    with pytest.raises(ObservationError, match="outside"):
        RecordedObservations.load(path, space)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("unpickled",))


def test_a_pickle_inside_is_refused_and_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("logged.npz", observations=np.array([Bomb()], dtype=object))
    with pytest.raises(ObservationError, match="cannot be read"):
        RecordedObservations.load(Path("logged.npz"), VECTOR)
    assert not Path("unpickled").exists()


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    path = tmp_path / "logged.npz"
    for content in (b"", b"hello", b"PK\x03\x04 broken"):
        path.write_bytes(content)
        with pytest.raises(ObservationError, match="cannot be read"):
            RecordedObservations.load(path, VECTOR)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("observations.npy", b"\x93NUMPY\x01\x00")
    with pytest.raises(ObservationError, match="cannot be read"):
        RecordedObservations.load(path, VECTOR)
    with pytest.raises(ObservationError, match="cannot be read"):
        RecordedObservations.load(tmp_path / "absent.npz", VECTOR)
