"""Masks over weights: which they leave out, that they stay in force, and the gradual schedule."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from policypress_runtime.errors import TrainingInputError
from policypress_train.qat.config import QatConfig
from policypress_train.sparse.magnitude import (
    GradualPruning,
    Masked,
    acting_weights,
    magnitude_masks,
    random_masks,
    sparsity_of,
)
from quantized_agents import CASES, NAMES, untrained

WEIGHTS = {"a": torch.tensor([[0.1, -5.0], [2.0, 0.0]]), "b": torch.tensor([[3.0, -0.2]])}


def test_the_smallest_of_all_layers_go() -> None:
    masks = magnitude_masks(WEIGHTS, 0.5)
    assert masks["a"].tolist() == [[0, 1], [1, 0]]
    assert masks["b"].tolist() == [[1, 0]]


@given(shares=st.lists(st.floats(0, 0.99), min_size=1, max_size=4).map(sorted), seed=st.integers(0, 99))
def test_shares_are_exact_and_what_is_pruned_stays_so(shares: list[float], seed: int) -> None:
    torch.manual_seed(seed)
    masks = None
    for share in shares:
        weights = {"a": torch.randn(7, 5), "b": torch.randn(3, 7)}
        following = magnitude_masks(weights, share, masks)
        assert sparsity_of(following) == pytest.approx(round(share * 56) / 56)
        if masks is not None:
            assert all(bool((following[name] <= masks[name]).all()) for name in masks)
        masks = following


def test_weights_that_are_zero_but_not_pruned_are_weights() -> None:
    masks = magnitude_masks({"a": torch.zeros(4, 4)}, 0.25)
    assert sparsity_of(masks) == 0.25


@given(seed=st.integers(0, 1000))
def test_random_masks_are_as_sparse_in_each_layer(seed: int) -> None:
    masks = magnitude_masks({"a": torch.randn(9, 9), "b": torch.randn(9, 2) * 10}, 0.6)
    other = random_masks(masks, torch.Generator().manual_seed(seed))
    assert {name: float(mask.sum()) for name, mask in other.items()} == {n: float(m.sum()) for n, m in masks.items()}
    assert not torch.equal(other["a"], masks["a"])


@pytest.mark.parametrize("qat", [None, QatConfig()], ids=["fp32", "qat"])
@pytest.mark.parametrize("name", NAMES)
def test_gradual_pruning_ends_where_it_should_in_every_algorithm(name: str, qat: QatConfig | None) -> None:
    model = untrained(name, qat)
    model.learn(CASES[name][2], callback=GradualPruning(0.75, 0.3, 0.9, changes=5))
    weights = acting_weights(model.policy)
    zeros = sum(int((weight == 0).sum()) for weight in weights.values())
    total = sum(weight.numel() for weight in weights.values())
    on_policy = name in ("ppo", "trpo")
    # Rollouts of PPO and TRPO are a third of these short trainings, so the last change comes before its time.
    assert zeros / total >= (0.5 if on_policy else 0.7)
    assert all(bool(torch.isfinite(weight).all()) for weight in weights.values())


def test_pruned_weights_stay_pruned_through_the_optimizer() -> None:
    model = untrained("sac")
    masked = Masked(model.policy)
    masked.prune(0.5)
    model.learn(80)
    zeros = [int((weight == 0).sum()) for weight in acting_weights(model.policy).values()]
    assert zeros == [int((mask == 0).sum()) for mask in masked.masks.values()]


def test_the_schedule_is_cubic() -> None:
    pruning = GradualPruning(0.8, 0.2, 0.6)
    assert pruning.scheduled(0.0) == pruning.scheduled(0.2) == 0.0
    assert pruning.scheduled(0.4) == pytest.approx(0.8 * (1 - 0.5**3))
    assert pruning.scheduled(0.6) == pruning.scheduled(1.0) == pytest.approx(0.8)


@pytest.mark.parametrize("arguments", [(1.0,), (-0.1,), (0.5, 0.6, 0.6), (0.5, 0.2, 1.1), (0.5, 0.2, 0.8, 0)])
def test_what_cannot_be_is_refused(arguments: tuple[float, ...]) -> None:
    with pytest.raises(TrainingInputError):
        GradualPruning(*arguments)  # type: ignore[arg-type]
