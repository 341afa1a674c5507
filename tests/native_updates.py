"""Two models with the same networks and memories: one learns by the fast update, one by the native."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv

from policypress_train.fast.dqn import FastDQN
from policypress_train.fast.sac import FastSAC
from policypress_train.fast.td3 import FastDDPG, FastTD3
from policypress_train.logs import logger_for
from policypress_train.native.compiled import SETS, KernelSet, sets_here
from policypress_train.native.dqn import NativeDQN
from policypress_train.native.sac import NativeSAC
from policypress_train.native.td3 import NativeDDPG, NativeTD3

FAST: dict[str, Any] = {"dqn": FastDQN, "sac": FastSAC, "td3": FastTD3, "ddpg": FastDDPG}
NATIVE: dict[str, Any] = {"dqn": NativeDQN, "sac": NativeSAC, "td3": NativeTD3, "ddpg": NativeDDPG}


class Nothing(gymnasium.Env[Any, Any]):
    """An environment of any size in which nothing happens; actions are numbers, or are numbered."""

    def __init__(self, seen: int, done: int, discrete: bool = False) -> None:
        self.observation_space = gymnasium.spaces.Box(-10, 10, (seen,))
        numbers = gymnasium.spaces.Discrete(done)
        self.action_space: gymnasium.Space[Any] = numbers if discrete else gymnasium.spaces.Box(-2, 3, (done,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        return self.observation_space.sample(), 0.0, False, False, {}


def built_model(
    kind: Any, seen: int, done: int, *, batch: int = 32, rows: int = 200, **more: Any
) -> OffPolicyAlgorithm:
    """A model whose memory holds ``rows`` transitions, the same for the same sizes."""
    discrete = kind in (FastDQN, NativeDQN)
    env = DummyVecEnv([lambda: Nothing(seen, done, discrete)])
    arguments = {"policy_kwargs": {"net_arch": [32, 32]}, "learning_starts": 0, **deepcopy(more)}
    policy = arguments.pop("policy", "MlpPolicy")
    model: OffPolicyAlgorithm = kind(policy, env, seed=1, buffer_size=rows, batch_size=batch, device="cpu", **arguments)
    model.set_logger(logger_for(None))
    model._setup_learn(10**6, None, True)
    generator = np.random.default_rng(0)
    for row in range(rows):
        before, after = generator.normal(size=(2, 1, seen))
        action = generator.integers(done, size=(1, 1)) if discrete else generator.uniform(-1, 1, (1, done))
        reward, ended = generator.normal(size=1), np.array([row % 10 == 9])
        model.replay_buffer.add(before, after, action, reward, ended, [{}])  # type: ignore[union-attr]
    return model


def learned(model: OffPolicyAlgorithm, steps: int, seed: int = 2) -> dict[str, torch.Tensor]:
    """Parameters after so many gradient steps with the random numbers of ``seed``."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    model.train(steps, model.batch_size)
    found = {name: tensor.detach().clone() for name, tensor in model.policy.state_dict().items()}
    if getattr(model, "log_ent_coef", None) is not None:
        found["log_ent_coef"] = model.log_ent_coef.detach().clone()  # type: ignore[attr-defined]
    return found


def worst(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest difference of two models' parameters."""
    assert one.keys() == other.keys()
    return max(float((tensor - other[name]).abs().max()) for name, tensor in one.items())


def slopes(model: Any) -> dict[str, torch.Tensor]:
    """The gradients of a first step, which Adam's averages are a tenth of."""
    found = {}
    for name in ("actor", "critic"):
        network = getattr(model, name)
        for key, parameter in network.named_parameters():
            found[f"{name}.{key}"] = network.optimizer.state[parameter]["exp_avg"] * 10
    return found


def assert_first_gradients_agree(fast: Any, native: Any, tolerance: float) -> None:
    """The gradients of one step are the same, within a share of each tensor's largest."""
    for model in (fast, native):
        # The actor's gradient then goes through critics that are the same to the bit.
        model.critic.optimizer.param_groups[0]["lr"] = 0.0
        model._update_learning_rate = lambda optimizers: None
        learned(model, 1)
    expected = slopes(fast)
    for key, slope in slopes(native).items():
        size = float(expected[key].abs().max())
        torch.testing.assert_close(slope, expected[key], rtol=0.0, atol=tolerance * max(size, 1e-3))


def needs(kernels: str) -> KernelSet:
    """The kernel set of this name; the test is skipped where it does not run."""
    wanted = next(one for one in SETS if one.name == kernels)
    if wanted not in sets_here():
        pytest.skip(f"this processor has no {kernels}: {', '.join(sorted(wanted.needs))}")
    return wanted
