"""Whether an environment looks at its seed at all: if not, one episode of a deterministic policy is all there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from policypress.environments.rollout import action_converter
from policypress.environments.wrappers.faults import blamed, checked_reset, opened
from policypress.environments.wrappers.masks import deciding, legal_actor
from policypress.environments.wrappers.observation import Env
from policypress.seeding import episode_seeds

SEEDS = 3
STEPS = 200


def ignores_seed(factory: Callable[[], Env], seed: int = 0, *, seeds: int = SEEDS, steps: int = STEPS) -> bool:
    """Whether the same actions give the same observations and rewards, bit by bit, after resets with different seeds.

    Args:
        factory: makes the environment; it is closed afterwards.
        seed: of the seeds and of the actions, which are drawn at random.
        seeds: how many resets are compared.
        steps: at most so many steps of each; an environment that draws its first number later is not found out.
    """
    with opened(factory) as env, blamed("reset() or step()"):
        first = _played(env, episode_seeds(seed, "determinism", seeds)[0], seed, steps)
        others = episode_seeds(seed, "determinism", seeds)[1:]
        return all(_same(first, _played(env, other, seed, steps)) for other in others)


def _played(env: Env, reset_seed: int, action_seed: int, steps: int) -> list[Any]:
    """What an episode of drawn actions shows."""
    convert = action_converter(env.action_space)
    env.action_space.seed(action_seed)
    act = legal_actor(env, action_seed, lambda _: env.action_space.sample())
    observation = checked_reset(env.reset(seed=reset_seed))
    shown: list[Any] = [observation]
    decide = deciding(act, env)
    for _ in range(steps):
        observation, reward, terminated, truncated, _ = env.step(convert(decide(observation)))
        shown.append((observation, float(reward), terminated, truncated))
        if terminated or truncated:
            break
    return shown


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(_same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(_same(a, b) for a, b in zip(first, second, strict=True))
    return bool(np.array_equal(np.asarray(first), np.asarray(second)))
