"""The fast SAC learns what the library's does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from policypress_train.fast.sac import FastSAC


def worst(stock: Any, fast: Any) -> float:
    ours = fast.policy.state_dict()
    return max(float((tensor - ours[name]).abs().max()) for name, tensor in stock.policy.state_dict().items())


@pytest.mark.parametrize("more", [{}, {"use_sde": True}, {"ent_coef": 0.1}, {"n_envs": 2, "train_freq": 2}])
def test_the_first_updates_are_the_library_s_up_to_rounding(both: Callable[..., Any], more: dict[str, Any]) -> None:
    stock, fast = both("sac", "Pendulum-v1", 120, learning_starts=100, **more)
    assert type(fast) is FastSAC
    assert stock._n_updates == fast._n_updates > 0
    assert worst(stock, fast) < 1e-4
    learned = stock.policy.state_dict()["critic.qf0.0.weight"]
    assert float((learned - stock.policy.state_dict()["critic_target.qf0.0.weight"]).abs().max()) > 1e-3
    np.testing.assert_allclose(stock.replay_buffer.actions, fast.replay_buffer.actions, atol=1e-5)
    if stock.log_ent_coef is not None:
        assert fast.log_ent_coef.item() == pytest.approx(stock.log_ent_coef.item(), rel=1e-4)


def test_its_losses_are_logged(both: Callable[..., Any]) -> None:
    stock, fast = both("sac", "Pendulum-v1", 120, learning_starts=100)
    fast.start_time = stock.start_time
    recorded: dict[str, Any] = {}
    fast.logger.record = lambda name, value, **_: recorded.setdefault(name, value)
    fast.dump_logs()
    for name in ("train/critic_loss", "train/actor_loss", "train/ent_coef", "train/ent_coef_loss"):
        assert np.isfinite(recorded[name]), name


def test_the_density_is_the_library_s(both: Callable[..., Any]) -> None:
    _, fast = both("sac", "Pendulum-v1", 101, learning_starts=100)
    observations = torch.randn(64, 3)
    torch.manual_seed(0)
    actions, log_prob = fast._act(observations)
    torch.manual_seed(0)
    expected, density = fast.actor.action_log_prob(observations)
    torch.testing.assert_close(actions, expected)
    torch.testing.assert_close(log_prob[:, 0], density, atol=1e-4, rtol=1e-4)
