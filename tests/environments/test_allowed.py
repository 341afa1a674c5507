from __future__ import annotations

import gymnasium
import pytest

from policypress.environments.making import make
from policypress.environments.wrappers.allowed import allowed, apply
from policypress.environments.wrappers.observation import FrameSkip, TimeFeatureWrapper
from policypress_runtime.contract import EnvironmentSpec, WrapperSpec
from policypress_runtime.errors import WrapperError


def cartpole() -> gymnasium.Env[object, object]:
    return gymnasium.make("CartPole-v1")


@pytest.mark.parametrize(
    "name",
    [
        "TimeFeatureWrapper",
        "sb3_contrib.common.wrappers.TimeFeatureWrapper",
        "sb3_contrib.common.wrappers.time_feature.TimeFeatureWrapper",
        "rl_zoo3.wrappers.TimeFeatureWrapper",
        "utils.wrappers.TimeFeatureWrapper",
    ],
)
def test_the_modules_of_the_field_are_understood(name: str) -> None:
    assert isinstance(apply(cartpole(), WrapperSpec(name)), TimeFeatureWrapper)


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "evil.TimeFeatureWrapper",
        "gymnasium.wrappers.RecordVideo",
        "utils.wrappersevil.TimeFeatureWrapper",
        "RecordVideo",
        "NormalizeObservation",
        "",
        "__import__('os')",
    ],
)
def test_everything_else_is_refused_and_the_list_is_named(name: str) -> None:
    with pytest.raises(WrapperError, match="TimeFeatureWrapper") as caught:
        apply(cartpole(), WrapperSpec(name))
    assert "--wrapper package:Class" in str(caught.value)


@pytest.mark.parametrize("name", ["DelayedRewardWrapper", "ClipReward", "NormalizeReward"])
def test_reward_wrappers_leave_the_raw_reward(name: str) -> None:
    env = cartpole()
    assert apply(env, WrapperSpec(name, (("delay", 3),))) is env


def test_gymnasium_wrappers_work_by_name() -> None:
    rescale = WrapperSpec("RescaleAction", (("min_action", -1.0), ("max_action", 1.0)))
    scaled = make(EnvironmentSpec("Pendulum-v1", wrappers=(rescale,)))
    assert isinstance(scaled.action_space, gymnasium.spaces.Box)
    assert float(scaled.action_space.high[0]) == 1.0
    assert isinstance(apply(cartpole(), WrapperSpec("FrameSkip", (("skip", 2),))), FrameSkip)


def test_a_wrapper_that_gives_no_environment_is_refused() -> None:
    with pytest.raises(WrapperError, match="did not return an environment"):
        apply(cartpole(), WrapperSpec("builtins:id"), ["builtins"])
    with pytest.raises(WrapperError, match="no such class"):
        apply(cartpole(), WrapperSpec("builtins:absent"), ["builtins"])


def test_the_list_is_sorted_and_holds_short_names_only() -> None:
    assert list(allowed()) == sorted(allowed())
    assert all(name.isidentifier() for name in allowed())
