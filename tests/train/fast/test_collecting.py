"""What the fast algorithms share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.utils import polyak_update

from policypress_train.fast.collecting import copy_statistics, data_of, no_denormals, soft_update


def test_targets_follow_as_the_library_s_to_the_bit() -> None:
    sources = [torch.nn.Parameter(torch.randn(5, 3)), torch.nn.Parameter(torch.randn(4))]
    targets = [torch.nn.Parameter(torch.randn(5, 3)), torch.nn.Parameter(torch.randn(4))]
    expected = [torch.nn.Parameter(target.detach().clone()) for target in targets]
    polyak_update(sources, expected, 0.005)
    soft_update(data_of(targets), data_of(sources), 0.005)
    for mine, other in zip(targets, expected, strict=True):
        assert torch.equal(mine, other)


def test_statistics_are_copied_and_may_be_none() -> None:
    copy_statistics([], [])
    target = [torch.zeros(3)]
    copy_statistics(target, [torch.arange(3.0)])
    assert torch.equal(target[0], torch.arange(3.0))


def test_denormals_count_as_zero_inside_alone() -> None:
    tiny = torch.tensor([1e-40])
    with no_denormals():
        inside = float((tiny * 0.9).sum())
    assert float((tiny * 0.9).sum()) > 0
    assert inside in (0.0, float((tiny * 0.9).sum()))  # a processor without the mode keeps them


@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_switching_is_the_library_s_and_leaves_targets_alone(both: Callable[..., Any], algorithm: str) -> None:
    stock, fast = both(algorithm, "Pendulum-v1", 101, learning_starts=100)
    for training in (True, False):
        stock.policy.set_training_mode(training)
        fast.switch_training(training)
        expected = {name: module.training for name, module in stock.policy.named_modules()}
        assert {name: module.training for name, module in fast.policy.named_modules()} == expected
    assert not fast.critic_target.training


def test_its_zip_is_the_library_s(both: Callable[..., Any], tmp_path: Path) -> None:
    _, fast = both("sac", "Pendulum-v1", 110, learning_starts=100)
    fast.save(tmp_path / "agent.zip")
    loaded = SAC.load(tmp_path / "agent.zip")
    assert not any("policypress" in str(value) for value in vars(loaded).values())
    for name, tensor in fast.policy.state_dict().items():
        assert torch.equal(loaded.policy.state_dict()[name], tensor)
    loaded.set_env(fast.env)
    loaded.learn(120)
