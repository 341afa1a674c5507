"""Masked actions are those of sb3-contrib's distributions, for every kind of choice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sb3_contrib.common.maskable.distributions import (
    MaskableBernoulliDistribution,
    MaskableCategoricalDistribution,
    MaskableMultiCategoricalDistribution,
)

from policypress_runtime.contract import Box, Discrete, MultiBinary, MultiDiscrete, Space
from policypress_runtime.errors import ObservationError
from policypress_runtime.runtimes.masking import action_among

ROWS = 400


def _theirs(distribution: Any, logits: np.ndarray[Any, Any], masks: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    distribution.proba_distribution(torch.as_tensor(logits))
    distribution.apply_masking(masks)
    return np.asarray(distribution.mode())


@pytest.mark.parametrize("share", [0.3, 0.7, 1.0])
def test_the_library_chooses_the_same(share: float) -> None:
    rng = np.random.default_rng(0)
    five = rng.normal(size=(ROWS, 5)).astype(np.float32)
    masks = rng.random((ROWS, 5)) < share
    assert not masks.any(axis=1).all() or share > 0.5  # where nothing is allowed too
    ours = action_among(five, masks, Discrete(5))
    assert np.array_equal(ours, _theirs(MaskableCategoricalDistribution(5), five, masks))
    several = action_among(five, masks, MultiDiscrete((2, 3)))
    assert np.array_equal(several, _theirs(MaskableMultiCategoricalDistribution([2, 3]), five, masks))
    pairs = rng.normal(size=(ROWS, 6)).astype(np.float32)
    allowed = rng.random((ROWS, 6)) < share
    bits = action_among(pairs[:, 1::2] - pairs[:, 0::2], allowed, MultiBinary(3))
    assert np.array_equal(bits, _theirs(MaskableBernoulliDistribution(3), pairs, allowed))


def test_a_start_is_added_and_equals_go_to_the_first() -> None:
    assert action_among(np.array([[1.0, 2.0, 2.0]]), [True, True, True], Discrete(3, 5)).tolist() == [6]
    assert action_among(np.array([[0.0]]), [1, 1], MultiBinary(1)).tolist() == [[0]]


@pytest.mark.parametrize(
    ("space", "masks"),
    [
        (Discrete(3), [True, True]),
        (Discrete(3), ["a", "b", "c"]),
        (MultiBinary(3), [True, False, True]),
        (Box((3,), "float32", (0.0,), (1.0,)), [True] * 3),
    ],
)
def test_other_masks_are_refused(space: Space, masks: list[Any]) -> None:
    with pytest.raises(ObservationError, match="action mask"):
        action_among(np.zeros((1, 3)), masks, space)
