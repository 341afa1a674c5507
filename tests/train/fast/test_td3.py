"""The fast TD3 and DDPG learn what the library's do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from policypress_train.fast.td3 import FastDDPG, FastTD3


@pytest.mark.parametrize("algorithm", ["td3", "ddpg"])
@pytest.mark.parametrize("more", [{}, {"noise_type": "ornstein-uhlenbeck", "n_steps": 3}])
def test_the_first_updates_are_the_library_s_up_to_rounding(
    both: Callable[..., Any], algorithm: str, more: dict[str, Any]
) -> None:
    stock, fast = both(algorithm, "Pendulum-v1", 125, learning_starts=100, **more)
    assert type(fast) is {"td3": FastTD3, "ddpg": FastDDPG}[algorithm]
    assert stock._n_updates == fast._n_updates > 0
    ours = fast.policy.state_dict()
    for name, tensor in stock.policy.state_dict().items():
        np.testing.assert_allclose(ours[name].numpy(), tensor.numpy(), atol=1e-4, err_msg=name)
    np.testing.assert_allclose(stock.replay_buffer.actions, fast.replay_buffer.actions, atol=1e-5)
    moved = stock.policy.state_dict()["actor.mu.0.weight"] - stock.policy.state_dict()["actor_target.mu.0.weight"]
    assert float(moved.abs().max()) > 1e-3
