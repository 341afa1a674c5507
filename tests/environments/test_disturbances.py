"""Noise that follows from the seed, actions that come late, and physics that is scaled."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from policypress.environments.making import SpecFactory, make
from policypress.environments.wrappers.allowed import WrappedFactory
from policypress.environments.wrappers.disturbances import ActionDelay, ObservationNoise, PhysicsScale
from policypress_runtime.contract import EnvironmentSpec, WrapperSpec
from policypress_runtime.errors import WrapperError


class Echo(gymnasium.Env[Any, Any]):
    """Shows images of one grey, and remembers actions."""

    observation_space = gymnasium.spaces.Box(0, 255, (4, 4, 1), np.uint8)
    action_space = gymnasium.spaces.Discrete(9)

    def __init__(self) -> None:
        self.taken: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.full((4, 4, 1), 250, np.uint8), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.taken.append(action)
        return np.full((4, 4, 1), 250, np.uint8), 0.0, False, False, {}


def test_noise_has_the_deviation_that_is_asked_for_and_follows_from_the_seed() -> None:
    env = ObservationNoise(gymnasium.make("Pendulum-v1"), 0.1, (0.7, 0.7, 4.0))
    plain = gymnasium.make("Pendulum-v1")
    noise = []
    for seed in range(300):
        seen = env.reset(seed=seed)[0]
        noise.append(seen - plain.reset(seed=seed)[0])
        assert np.array_equal(seen, env.reset(seed=seed)[0])
        assert env.observation_space.contains(seen)
    assert np.std(noise, axis=0)[2] == pytest.approx(0.4, rel=0.2)
    assert not np.array_equal(noise[0], noise[1])


def test_noise_on_images_stays_in_their_range() -> None:
    env = ObservationNoise(Echo(), 0.1)
    seen = env.reset(seed=0)[0]
    assert seen.dtype == np.uint8
    assert env.observation_space.contains(seen)
    assert seen.max() == 255
    assert np.ptp(seen) > 5


def test_actions_come_late() -> None:
    inner = Echo()
    env = ActionDelay(inner, steps=2)
    for _ in range(2):
        inner.taken.clear()
        env.reset(seed=0)
        for action in (3, 4, 5, 6):
            env.step(action)
        assert inner.taken == [3, 3, 3, 4]


def test_a_delayed_array_is_a_copy() -> None:
    inner = Echo()
    env = ActionDelay(inner)
    action = np.zeros(1)
    env.step(action)
    action[0] = 9.0
    env.step(action)
    assert inner.taken[1][0] == 0.0


def test_masses_and_frictions_are_scaled_and_matter() -> None:
    plain = make(EnvironmentSpec("Hopper-v4"))
    heavy = make(EnvironmentSpec("Hopper-v4", wrappers=(WrapperSpec("PhysicsScale", (("mass", 2.0),)),)))
    rough = WrappedFactory(
        SpecFactory(EnvironmentSpec("Hopper-v4")), (WrapperSpec("PhysicsScale", (("friction", 0.5),)),)
    )()
    models = [env.unwrapped.model for env in (plain, heavy, rough)]  # type: ignore[attr-defined]
    assert np.allclose(models[1].body_mass, 2 * models[0].body_mass)
    assert np.allclose(models[1].body_subtreemass, 2 * models[0].body_subtreemass)
    assert np.allclose(models[2].geom_friction, 0.5 * models[0].geom_friction)
    after = []
    for env in (plain, heavy):
        env.reset(seed=0)
        for _ in range(20):
            observation = env.step(np.ones(3, np.float32))[0]
        after.append(observation)
    assert not np.allclose(after[0], after[1])


@pytest.mark.parametrize(
    ("make_wrong", "message"),
    [
        (lambda: ObservationNoise(gymnasium.make("Pendulum-v1"), 0.1), "scale of each dimension"),
        (lambda: ObservationNoise(gymnasium.make("Pendulum-v1"), 0.1, (1.0,)), "does not fit"),
        (lambda: ObservationNoise(gymnasium.make("FrozenLake-v1"), 0.1, (1.0,)), "needs a Box"),
        (lambda: ActionDelay(gymnasium.make("Pendulum-v1"), 0), "at least 1 step"),
        (lambda: PhysicsScale(gymnasium.make("CartPole-v1"), 1.2), "MuJoCo"),
        (lambda: PhysicsScale(gymnasium.make("Hopper-v5"), 0.0), "positive"),
    ],
)
def test_what_cannot_be_disturbed_is_refused(make_wrong: Any, message: str) -> None:
    with pytest.raises(WrapperError, match=message):
        make_wrong()
