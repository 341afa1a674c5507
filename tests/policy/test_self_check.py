from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from policypress.agents.bundle import Normaliser
from policypress.policy.policy import Policy
from policypress.policy.self_check import check_same, normalised, sample_observations
from policypress_runtime.contract import Box, DictSpace, Discrete, MultiBinary, MultiDiscrete, Space, box
from policypress_runtime.errors import NetworkError

VECTOR = box((3,), "float32", -np.inf, np.inf)
ROWS = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.5, 0.0, -1.0]])


def policy_of(actions: Space) -> Policy:
    layer = nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        layer.weight.copy_(ROWS)
    return Policy.from_module(layer, VECTOR, actions)


def scores(observations: Any, change: float = 0.0) -> Any:
    return observations[""] @ ROWS.numpy().T + change


@pytest.mark.parametrize(
    "actions", [VECTOR, Box((3,), "float32", (-1.0,), (1.0,)), Discrete(3), MultiDiscrete((1, 2)), MultiBinary(3)]
)
def test_the_same_network_passes(actions: Space) -> None:
    check_same(policy_of(actions), scores, {})


@pytest.mark.parametrize("actions", [VECTOR, Box((3,), "float32", (-1.0,), (1.0,)), MultiBinary(3)])
def test_another_network_does_not(actions: Space) -> None:
    with pytest.raises(NetworkError, match="does not compute what the original computes"):
        check_same(policy_of(actions), lambda observations: scores(observations, 0.3), {})


@pytest.mark.parametrize("actions", [Discrete(3), MultiDiscrete((1, 2))])
def test_another_choice_does_not(actions: Space) -> None:
    with pytest.raises(NetworkError, match="does not compute what the original computes"):
        check_same(policy_of(actions), lambda observations: -scores(observations), {})


def test_the_tolerance_is_relative_and_small() -> None:
    policy = policy_of(VECTOR)
    check_same(policy, lambda o: scores(o) * (1 + 4e-6), {})
    with pytest.raises(NetworkError):
        check_same(policy, lambda o: scores(o) * (1 + 1e-4), {})


def test_results_that_are_no_actions() -> None:
    with pytest.raises(NetworkError, match="one finite action for each observation"):
        check_same(policy_of(VECTOR), lambda o: scores(o) * np.nan, {})
    with pytest.raises(NetworkError, match="one finite action for each observation"):
        check_same(policy_of(VECTOR), lambda o: np.ones(7), {})


def test_samples_lie_in_the_space() -> None:
    space = DictSpace(
        (
            ("bits", MultiBinary(4)),
            ("choice", Discrete(3, start=2)),
            ("choices", MultiDiscrete((2, 5))),
            ("image", box((4, 4, 3), "uint8", 0, 255)),
            ("speed", box((2,), "float64", [-1.0, -np.inf], [0.5, np.inf])),
        )
    )
    samples = sample_observations(space, 200, {})
    assert {key: str(v.dtype) for key, v in samples.items()} == {
        "bits": "int8",
        "choice": "int64",
        "choices": "int64",
        "image": "uint8",
        "speed": "float32",
    }
    assert set(np.unique(samples["choice"])) == {2, 3, 4}
    assert np.all(samples["choices"].max(axis=0) == [1, 4])
    assert samples["image"].min() == 0
    assert samples["image"].max() == 255
    assert np.all((samples["speed"][:, 0] >= -1) & (samples["speed"][:, 0] <= 0.5))
    assert np.abs(samples["speed"][:, 1]).max() > 2


def test_normalised_as_vec_normalize_does() -> None:
    statistics = Normaliser(np.array([10.0]), np.array([4.0]), 0.0, 1.5)
    result = normalised({"": np.array([[11.0], [20.0]], np.float32)}, {"": statistics})[""]
    assert result.dtype == np.float32
    assert np.array_equal(result, [[0.5], [1.5]])
