"""What an episode can return at all, where it is known, and that wrappers and arguments make it unknown."""

from __future__ import annotations

import gymnasium
import pytest

from policypress.environments.return_limits import return_limits
from policypress_runtime.contract import EnvironmentSpec, WrapperSpec


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "MountainCar-v0", "Acrobot-v1", "FrozenLake-v1"])
def test_no_episode_of_random_actions_lies_outside(name: str) -> None:
    low, high = return_limits(EnvironmentSpec(name))
    assert low is not None
    assert high is not None
    env = gymnasium.make(name)
    env.action_space.seed(0)
    for seed in range(3):
        env.reset(seed=seed)
        total, ended = 0.0, False
        while not ended:
            _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            total, ended = total + float(reward), terminated or truncated
        assert low <= total <= high
    env.close()


def test_what_may_change_rewards_makes_them_unknown() -> None:
    unknown = (None, None)
    assert return_limits(None) == unknown
    assert return_limits(EnvironmentSpec("Hopper-v5")) == unknown
    assert return_limits(EnvironmentSpec("NoSuch-v0")) == unknown
    assert return_limits(EnvironmentSpec("CartPole-v1", kwargs=(("sutton_barto_reward", True),))) == unknown
    assert return_limits(EnvironmentSpec("CartPole-v1", wrappers=(WrapperSpec("ClipReward"),))) == unknown
