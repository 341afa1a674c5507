from __future__ import annotations

import pytest
from gymnasium.envs.registration import registry

from policypress.environments.identifiers import Resolved, can_be_made, resolve, same_name
from policypress_runtime.errors import UnknownEnvironmentError


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        ("HalfCheetah-v3", "HalfCheetah-v4"),
        ("Hopper-v2", "Hopper-v4"),
        ("Humanoid-v3", "Humanoid-v4"),
        ("HumanoidStandup-v2", "HumanoidStandup-v4"),
        ("Ant-v0", "Ant-v4"),
        ("InvertedPendulum-v2", "InvertedPendulum-v4"),
        ("Pusher-v2", "Pusher-v5"),
        ("Pusher-v4", "Pusher-v5"),
        ("LunarLander-v2", "LunarLander-v3"),
        ("LunarLanderContinuous-v2", "LunarLanderContinuous-v3"),
        ("BipedalWalker-v2", "BipedalWalker-v3"),
        ("Pendulum-v0", "Pendulum-v1"),
        ("Taxi-v3", "Taxi-v4"),
    ],
)
def test_ids_that_moved_are_mapped_and_told(asked: str, made: str) -> None:
    resolved = resolve(asked)
    assert resolved.id == made
    assert resolved.notice is not None
    assert asked in resolved.notice
    assert made in resolved.notice


@pytest.mark.parametrize(
    "env_id", ["HalfCheetah-v4", "HalfCheetah-v5", "CartPole-v0", "CartPole-v1", "Pendulum-v1", "LunarLander-v3"]
)
def test_ids_that_exist_stay_without_a_word(env_id: str) -> None:
    assert resolve(env_id) == Resolved(env_id)


def test_a_users_module_is_left_alone() -> None:
    assert resolve("package.module:MyEnv-v0") == Resolved("package.module:MyEnv-v0")


def test_an_id_without_version_gets_the_newest() -> None:
    resolved = resolve("Hopper")
    assert resolved.id == "Hopper-v5"
    assert resolved.notice is not None


def test_atari_is_registered_when_it_is_asked_for() -> None:
    assert resolve("BreakoutNoFrameskip-v4") == Resolved("BreakoutNoFrameskip-v4")
    assert resolve("ALE/Pong-v5") == Resolved("ALE/Pong-v5")


def test_unknown_ids_name_the_nearest() -> None:
    with pytest.raises(UnknownEnvironmentError, match="HalfCheetah-v4"):
        resolve("HalfCheeta-v4")
    with pytest.raises(UnknownEnvironmentError, match="Ant-v4, Ant-v5"):
        resolve("Ant-v9")


def test_pybullet_names_its_package() -> None:
    with pytest.raises(UnknownEnvironmentError, match="pybullet_envs_gymnasium:HopperBulletEnv-v0"):
        resolve("HopperBulletEnv-v0")


@pytest.mark.parametrize("text", ["", "not an id!", "a b"])
def test_what_is_no_id_is_said(text: str) -> None:
    with pytest.raises(UnknownEnvironmentError):
        resolve(text)


def test_versions_that_cannot_be_made_are_not_offered() -> None:
    assert same_name("Pusher-v2") == ["Pusher-v5"]
    assert same_name("Walker2d-v3") == ["Walker2d-v4", "Walker2d-v5"]
    assert not can_be_made(registry["Walker2d-v3"])
