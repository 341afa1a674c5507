"""The fast DQN learns what the library's does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from policypress_train.fast.dqn import FastDQN, clip_grad_norm


@pytest.mark.parametrize("more", [{"train_freq": 4, "gradient_steps": 2}, {"n_envs": 2, "max_grad_norm": 0.01}])
def test_the_first_updates_are_the_library_s_up_to_rounding(both: Callable[..., Any], more: dict[str, Any]) -> None:
    stock, fast = both("dqn", "CartPole-v1", 300, learning_starts=100, **{"gradient_steps": 1, "train_freq": 4, **more})
    assert type(fast) is FastDQN
    assert stock._n_updates == fast._n_updates > 0
    ours = fast.policy.state_dict()
    for name, tensor in stock.policy.state_dict().items():
        np.testing.assert_allclose(ours[name].numpy(), tensor.numpy(), atol=1e-4, err_msg=name)
    np.testing.assert_array_equal(stock.replay_buffer.actions, fast.replay_buffer.actions)
    assert fast.exploration_rate == stock.exploration_rate < 1


@pytest.mark.parametrize("max_grad_norm", [0.5, 1e6])
def test_gradients_are_clipped_as_torch_does(max_grad_norm: float) -> None:
    gradients = (torch.randn(4, 3), torch.randn(5))
    parameters = [torch.nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    torch.nn.utils.clip_grad_norm_(parameters, max_grad_norm)
    clip_grad_norm(gradients, max_grad_norm)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        torch.testing.assert_close(gradient, parameter.grad)
