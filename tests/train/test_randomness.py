"""Random states are saved and put back."""

from __future__ import annotations

import json
import random

import gymnasium
import numpy as np
import torch

from policypress_train.checkpoints.randomness import (
    PreservedRandomState,
    global_state,
    restore_global,
    restore_space,
    space_state,
)


def draws() -> list[float]:
    return [
        random.random(),
        random.gauss(0, 1),
        float(np.random.normal()),
        float(np.random.rand()),
        float(torch.randn(1)),
        float(torch.rand(1)),
    ]


def test_the_same_numbers_come_again() -> None:
    random.gauss(0, 1), np.random.normal()  # each keeps a second number for the next call
    plain, tensors = global_state()
    plain = json.loads(json.dumps(plain))
    first = [draws() for _ in range(3)]
    restore_global(plain, tensors)
    assert [draws() for _ in range(3)] == first


def test_a_space_draws_the_same_actions_again() -> None:
    space = gymnasium.spaces.Box(-1, 1, (3,))
    space.sample()
    state = json.loads(json.dumps(space_state(space)))
    first = space.sample()
    restore_space(space, state)
    np.testing.assert_array_equal(space.sample(), first)


def test_nothing_is_disturbed() -> None:
    plain, tensors = global_state()
    expected = draws()
    restore_global(plain, tensors)
    with PreservedRandomState():
        draws()
    assert draws() == expected
