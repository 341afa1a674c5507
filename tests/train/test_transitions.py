"""The replay buffer comes back from its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer

from policypress_runtime.errors import TrainingInputError
from policypress_train.checkpoints import transitions

ACTIONS = gymnasium.spaces.Discrete(3)
PIXELS = gymnasium.spaces.Box(0, 255, (2, 2), np.uint8)
NUMBERS = gymnasium.spaces.Box(-9, 9, (3,), np.float64)


def new(size: int, space: Any) -> Any:
    kind = DictReplayBuffer if isinstance(space, gymnasium.spaces.Dict) else ReplayBuffer
    return kind(size, space, ACTIONS, "cpu")


def batched(observation: Any) -> Any:
    return (
        {key: part[None] for key, part in observation.items()} if isinstance(observation, dict) else observation[None]
    )


def add(buffer: Any, count: int) -> None:
    for _ in range(count):
        seen, following = (batched(buffer.observation_space.sample()) for _ in range(2))
        buffer.add(seen, following, np.array([[1]]), np.array([2.5]), np.array([False]), [{}])


@settings(max_examples=20, deadline=None)
@given(
    size=st.integers(1, 12),
    parts=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    space=st.sampled_from([PIXELS, NUMBERS, gymnasium.spaces.Dict({"a": PIXELS, "b": NUMBERS})]),
)
def test_every_checkpoint_holds_the_buffer(
    size: int, parts: list[int], space: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("buffer")
    buffer, names, total = new(size, space), [], 0
    for count in parts:
        names = transitions.still_needed(names, total + count, size)
        add(buffer, count)
        names.append(transitions.save_new(folder, buffer, total, total + count))
        total += count
        transitions.remove_others(folder, names)
        again = new(size, space)
        transitions.load(folder, again, names, total)
        assert (again.pos, again.full) == (buffer.pos, buffer.full)
        for name, array in transitions.arrays_of(buffer).items():
            np.testing.assert_array_equal(transitions.arrays_of(again)[name], array, err_msg=name)
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign"])
def test_a_damaged_file_is_a_typed_error(tmp_path: Path, damage: str) -> None:
    buffer = new(8, NUMBERS)
    add(buffer, 4)
    name = transitions.save_new(tmp_path, buffer, 0, 4)
    if damage == "missing":
        (tmp_path / name).unlink()
    elif damage == "truncated":
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:100])
    else:
        name = "../else.npz"
    with pytest.raises(TrainingInputError):
        transitions.load(tmp_path, new(8, NUMBERS), [name], 4)


def test_a_file_that_grows_to_more_than_the_buffer_holds_is_refused(tmp_path: Path) -> None:
    buffer = new(20, gymnasium.spaces.Box(-1, 1, (3,)))
    add(buffer, 5)
    name = transitions.save_new(tmp_path, buffer, 0, 5)
    stored = dict(np.load(tmp_path / name))
    np.savez_compressed(tmp_path / name, **stored, bomb=np.zeros(2**24, np.uint8))
    with pytest.raises(TrainingInputError, match="too much content"):
        transitions.load(tmp_path, new(20, gymnasium.spaces.Box(-1, 1, (3,))), [name], 5)
