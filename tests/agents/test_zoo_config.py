"""What config.yml, args.yml and env_kwargs.yml say."""

from __future__ import annotations

from typing import Any

import pytest

from policypress.agents.zoo.config import read_wrappers, read_zoo_config
from policypress.agents.zoo.expressions import ClassName
from policypress_runtime.contract import WrapperSpec
from policypress_runtime.errors import DamagedAgentError, UnsafeAgentError


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (None, ()),
        ("sb3_contrib.common.wrappers.TimeFeatureWrapper", (WrapperSpec("TimeFeatureWrapper"),)),
        ("utils.wrappers.TimeFeatureWrapper", (WrapperSpec("TimeFeatureWrapper"),)),
        (["stable_baselines3.common.atari_wrappers.AtariWrapper"], (WrapperSpec("AtariWrapper"),)),
        (
            [{"rl_zoo3.wrappers.HistoryWrapper": {"horizon": 2}}, "gym.wrappers.resize_observation.ResizeObservation"],
            (WrapperSpec("HistoryWrapper", (("horizon", 2),)), WrapperSpec("ResizeObservation")),
        ),
        ({"sb3_contrib.common.wrappers.TimeFeatureWrapper": None}, (WrapperSpec("TimeFeatureWrapper"),)),
        ("os.system", (WrapperSpec("os.system"),)),
        ("gym.wrappersevil.TimeFeatureWrapper", (WrapperSpec("gym.wrappersevil.TimeFeatureWrapper"),)),
        ({"my_package.Wrapper": {"a": [1]}}, (WrapperSpec("my_package.Wrapper", (("a", [1]),)),)),
    ],
)
def test_wrapper_entries(stored: Any, expected: tuple[WrapperSpec, ...]) -> None:
    assert read_wrappers(stored) == expected


@pytest.mark.parametrize("stored", [3, [3], {"a": {}, "b": {}}, {"a": 3}, {3: {}}, [{}], {"a": {1: 2}}])
def test_other_wrapper_entries(stored: Any) -> None:
    with pytest.raises(DamagedAgentError):
        read_wrappers(stored)


def test_frames_are_stacked_outermost() -> None:
    config = read_zoo_config(
        {"env_wrapper": ["stable_baselines3.common.atari_wrappers.AtariWrapper"], "frame_stack": 4}, {}, {}
    )
    assert config.wrappers == (WrapperSpec("AtariWrapper"), WrapperSpec("frame_stack", (("n_stack", 4),)))
    assert config.frame_stack == 4
    assert config.caller_supplies == ("atari_preprocessing", "frame_stack")
    outer = {"stable_baselines3.common.vec_env.VecFrameStack": {"n_stack": 3}}
    monitor = "stable_baselines3.common.vec_env.VecMonitor"
    assert read_zoo_config({"vec_env_wrapper": [monitor, outer]}, {}, {}).frame_stack == 3


@pytest.mark.parametrize("count", [0, -1, True, "4", 2.0, 10**6])
def test_frame_stacks_that_are_none(count: Any) -> None:
    with pytest.raises(DamagedAgentError, match="frame_stack"):
        read_zoo_config({"frame_stack": count}, {}, {})


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (True, True),
        (False, False),
        (None, False),
        ("{'norm_obs': False, 'norm_reward': True}", False),
        ("dict(norm_obs=True, norm_reward=False)", True),
        ("{'norm_reward': True}", True),
        ({"norm_obs": False}, False),
    ],
)
def test_normalisation(stored: Any, expected: bool) -> None:
    assert read_zoo_config({"normalize": stored}, {}, {}).normalises is expected


def test_without_config_nothing_is_said_of_normalisation() -> None:
    assert read_zoo_config(None, {}, {}).normalises is None


def test_arguments() -> None:
    arguments = {"algo": "ppo", "env": "Hopper-v3", "env_kwargs": {"a": 1, "b": 2}}
    config = read_zoo_config(
        {"policy_kwargs": "dict(activation_fn=nn.ELU)", "gamma": 0.9, "net": [1]}, arguments, {"b": 3}
    )
    assert (config.algorithm, config.environment_id) == ("ppo", "Hopper-v3")
    assert config.environment_kwargs == (("a", 1), ("b", 3))
    assert config.policy_kwargs == {"activation_fn": ClassName("nn.ELU")}
    assert config.training["gamma"] == 0.9
    assert "net" not in config.training


def test_how_the_environment_is_shown_is_left_out() -> None:
    assert read_zoo_config(None, {}, {"render_mode": "rgb_array", "hardcore": True}).environment_kwargs == (
        ("hardcore", True),
    )


@pytest.mark.parametrize("name", ["policy_kwargs", "normalize"])
def test_code_is_refused(name: str) -> None:
    with pytest.raises(UnsafeAgentError, match=name):
        read_zoo_config({name: "__import__('os').system('true')"}, {}, {})


@pytest.mark.parametrize(("config", "arguments"), [({"policy_kwargs": 3}, {}), ({}, {"env_kwargs": [1]})])
def test_other_forms(config: dict[str, Any], arguments: dict[str, Any]) -> None:
    with pytest.raises(DamagedAgentError):
        read_zoo_config(config, arguments, {})
