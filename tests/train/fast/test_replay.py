"""The lean buffer draws what the library's draws."""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.buffers import ReplayBuffer

from policypress_train.fast.replay import LeanReplayBuffer

ACTIONS = gymnasium.spaces.Box(-1, 1, (2,), np.float32)


def filled(kind: type[ReplayBuffer], dtype: Any, rows: int, environments: int, size: int) -> ReplayBuffer:
    space = gymnasium.spaces.Box(0, 255, (3,), dtype)
    buffer = kind(size * environments, space, ACTIONS, "cpu", n_envs=environments)
    generator = np.random.default_rng(0)
    for _ in range(rows):
        seen = generator.integers(0, 255, (2, environments, 3)).astype(dtype) + (0.1 if dtype != np.uint8 else 0)
        action = generator.uniform(-1, 1, (environments, 2)).astype(np.float32)
        dones = generator.random(environments) < 0.3
        infos = [{"TimeLimit.truncated": bool(generator.random() < 0.5)} for _ in range(environments)]
        buffer.add(seen[0], seen[1], action, generator.normal(size=environments), dones, infos)
    return buffer


@settings(max_examples=25, deadline=None)
@given(
    dtype=st.sampled_from([np.float32, np.float64, np.uint8]),
    rows=st.integers(1, 30),
    environments=st.integers(1, 3),
    size=st.integers(2, 20),
)
def test_it_draws_the_library_s_transitions(dtype: Any, rows: int, environments: int, size: int) -> None:
    stock, lean = (filled(kind, dtype, rows, environments, size) for kind in (ReplayBuffer, LeanReplayBuffer))
    np.random.seed(7)
    expected = stock.sample(50)
    np.random.seed(7)
    got = lean.sample(50)
    for name in ("observations", "actions", "next_observations", "dones", "rewards"):
        mine, other = getattr(got, name), getattr(expected, name)
        assert mine.shape == other.shape
        assert torch.equal(mine.float(), other.float()), name


@pytest.mark.parametrize(("dtype", "kept"), [(np.float64, np.float32), (np.uint8, np.uint8)])
def test_float64_takes_half_the_memory(dtype: Any, kept: Any) -> None:
    assert filled(LeanReplayBuffer, dtype, 1, 1, 4).observations.dtype == kept


def test_a_pickled_one_has_its_own_memory() -> None:
    buffer = filled(LeanReplayBuffer, np.float32, 3, 1, 4)
    buffer.sample(1)
    again = pickle.loads(pickle.dumps(buffer))
    buffer.rewards[:] = 5
    assert float(again.sample(4).rewards.max()) < 5
