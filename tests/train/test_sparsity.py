"""The group-sparsity regulariser: its formula by hand, its groups, and channels that fall behind while learning."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from policypress_runtime.errors import TrainingInputError
from policypress_train.qat.config import QatConfig
from policypress_train.sparse.sparsity import GroupSparsity, factors
from quantized_agents import NAMES, Pictures, trained, untrained


def test_the_formula_by_hand() -> None:
    assert torch.equal(factors(torch.tensor([1.0, 2.0, 3.0]), 4.0), torch.tensor([16.0, 4.0, 1.0]))
    assert torch.equal(factors(torch.tensor([2.0, 2.0]), 4.0), torch.ones(2))


@given(
    values=st.lists(st.floats(0, 1e3, width=32), min_size=2, max_size=20), alpha=st.floats(0, 8, allow_subnormal=False)
)
def test_factors_run_from_1_to_2_to_the_alpha(values: list[float], alpha: float) -> None:
    importance = torch.tensor(values)
    found = factors(importance, alpha)
    assert float(found.min()) == pytest.approx(1.0)
    if float(importance.max()) > float(importance.min()):
        assert float(found.max()) == pytest.approx(2.0**alpha, rel=1e-4)
    assert bool((found[importance.argsort()].diff() <= 1e-3).all())


def two_hidden_layers() -> tuple[Any, Any]:
    model = untrained("dqn", net_arch=(5, 3))
    return model, model.policy.q_net.q_net


def test_a_channel_s_importance_is_the_square_norm_of_its_row_and_of_the_columns_that_read_it() -> None:
    model, layers = two_hidden_layers()
    expected = [
        layers[0].weight.square().sum(1) + layers[2].weight.square().sum(0),
        layers[2].weight.square().sum(1) + layers[4].weight.square().sum(0),
    ]
    found = sorted(GroupSparsity(model.policy).importances(), key=len, reverse=True)
    assert len(found) == 2
    for got, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(got, wanted)


def test_the_penalty_is_the_paper_s_sum() -> None:
    model, _ = two_hidden_layers()
    regulariser = GroupSparsity(model.policy, strength=0.5, alpha=4.0)
    expected = 0.5 * sum(float((factors(i, 4.0) * i).sum().detach()) for i in regulariser.importances())
    assert float(regulariser.penalty().detach()) == pytest.approx(expected, rel=1e-4)


def test_a_step_of_the_optimizer_follows_the_penalty_s_gradient() -> None:
    model, layers = two_hidden_layers()
    regulariser = GroupSparsity(model.policy, strength=0.1).attach()
    gradients = torch.autograd.grad(regulariser.penalty(), [layers[i].weight for i in (0, 2, 4)])
    rate = model.policy.optimizer.param_groups[0]["lr"]
    # The groups overlap in the layer between them: one follows after the other, which is a second-order difference.
    expected = [layers[i].weight.detach() - rate * g for i, g in zip((0, 2, 4), gradients, strict=True)]
    biases = [layers[i].bias.detach().clone() for i in (0, 2, 4)]
    model.policy.optimizer.step()
    for index, wanted, bias in zip((0, 2, 4), expected, biases, strict=True):
        torch.testing.assert_close(layers[index].weight.detach(), wanted, rtol=0, atol=1e-6)
        assert torch.equal(layers[index].bias, bias)
    regulariser.detach()
    before = layers[0].weight.detach().clone()
    model.policy.optimizer.step()
    assert torch.equal(layers[0].weight, before)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("qat", [None, QatConfig()], ids=["fp32", "qat"])
def test_every_algorithm_s_acting_network_has_its_groups(name: str, qat: QatConfig | None) -> None:
    uneven = {"pi": [6, 4], "vf" if name in ("ppo", "trpo") else "qf": [8]}
    model = untrained(name, qat, net_arch=(6, 4) if name == "dqn" else uneven)
    regulariser = GroupSparsity(model.policy, strength=10.0).attach()
    assert sorted(len(i) for i in regulariser.importances()) == [4, 6]


def test_an_image_network_s_channels_go_through_the_flattening() -> None:
    small = {"features_dim": 8}
    model = untrained("dqn", None, Pictures("image", True), "CnnPolicy", features_extractor_kwargs=small, net_arch=())
    found = [len(i) for i in GroupSparsity(model.policy).importances()]
    assert sorted(found) == [8, 32, 64, 64]
    dense = model.policy.q_net.features_extractor.linear[0].weight
    last = model.policy.q_net.features_extractor.cnn[4].weight
    expected = last.square().flatten(1).sum(1) + dense.square().reshape(8, 64, -1).sum((0, 2))
    alike = [i for i in GroupSparsity(model.policy).importances() if len(i) == len(expected)]
    assert any(torch.allclose(i, expected) for i in alike)


def test_channels_fall_behind_while_learning() -> None:
    spread = {}
    for strength in (0.0, 30.0):
        model = untrained("ppo")
        regulariser = GroupSparsity(model.policy, strength=strength).attach()
        model.learn(192)
        importance = regulariser.importances()[0].detach()
        spread[strength] = float(importance.min() / importance.max())
    assert spread[30.0] < 0.5 * spread[0.0]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(TrainingInputError, match="not negative"):
        GroupSparsity(untrained("dqn").policy, strength=-1.0)
    with pytest.raises(TrainingInputError, match="hidden layers"):
        GroupSparsity(untrained("dqn", net_arch=()).policy)


def test_a_trained_quantized_agent_can_be_regularised_too() -> None:
    model = trained("td3")
    assert len(GroupSparsity(model.policy).importances()) == 2
