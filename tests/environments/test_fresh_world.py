from __future__ import annotations

from functools import partial

import gymnasium
import numpy as np

from policypress.environments.making import make
from policypress.environments.wrappers.fresh_world import FreshWorld
from policypress_runtime.contract import EnvironmentSpec

FACTORY = partial(gymnasium.make, "BipedalWalker-v3", disable_env_checker=True)


def test_environments_with_a_lasting_world_are_made_anew() -> None:
    env = make(EnvironmentSpec("BipedalWalker-v3"))
    assert isinstance(env, FreshWorld)
    first, _ = env.reset(seed=4)
    inner = env.unwrapped
    env.step(np.ones(4, np.float32))
    again, _ = env.reset(seed=4)
    assert env.unwrapped is not inner
    assert np.array_equal(first, again)
    assert env.spec is not None
    assert env.spec.max_episode_steps == 1600


def test_without_a_seed_the_stream_goes_on() -> None:
    def unseeded(seed: int) -> list[bytes]:
        env = FreshWorld(FACTORY)
        env.reset(seed=seed)
        return [env.reset()[0].tobytes() for _ in range(2)]

    assert unseeded(1) == unseeded(1)
    assert unseeded(1) != unseeded(2)


def test_other_environments_are_kept() -> None:
    assert not isinstance(make(EnvironmentSpec("LunarLander-v3")), FreshWorld)
