"""Whether an environment looks at its seed at all: if not, one episode of a deterministic policy is all there is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any

import numpy as np

from policypress.environments.memory.remembering import memory_of
from policypress.environments.rollout import Actor, action_converter
from policypress.environments.wrappers.faults import blamed, checked_reset, opened
from policypress.environments.wrappers.masks import deciding, legal_actor
from policypress.environments.wrappers.observation import Env
from policypress.seeding import episode_seeds

SEEDS = 3
STEPS = 200


def ignores_seed(
    factory: Callable[[], Env],
    seed: int = 0,
    *,
    act: Actor | None = None,
    seeds: int = SEEDS,
    steps: int | None = STEPS,
) -> bool:
    """Whether the same actions give the same observations and rewards, bit by bit, after resets with different seeds.

    Args:
        factory: makes the environment; it is closed afterwards.
        seed: of the seeds and of the actions.
        act: gives the actions; without it they are drawn at random.
        seeds: how many resets are compared.
        steps: at most so many steps of each (None: the whole episode); an environment that draws its first number
            later is not found out.
    """
    with opened(factory) as env, blamed("reset() or step()"):
        chosen = episode_seeds(seed, "determinism", seeds)
        first = list(_played(env, chosen[0], seed, act, steps))
        return all(_the_same(first, _played(env, other, seed, act, steps)) for other in chosen[1:])


def _played(env: Env, reset_seed: int, action_seed: int, act: Actor | None, steps: int | None) -> Iterator[bytes]:
    """What each step of an episode shows, as a digest: whole episodes of images would not fit into memory."""
    convert = action_converter(env.action_space)
    if act is None:
        env.action_space.seed(action_seed)
        act = legal_actor(env, action_seed, lambda _: env.action_space.sample())
    observation = checked_reset(env.reset(seed=reset_seed))
    decide, memory = deciding(act, env), memory_of(act)
    if memory is not None:
        memory.reset()
    yield _digest(observation)
    done = 0
    while done != steps:
        observation, reward, terminated, truncated, _ = env.step(convert(decide(observation)))
        yield _digest((observation, float(reward), bool(terminated), bool(truncated)))
        done += 1
        if terminated or truncated:
            return


def _the_same(first: list[bytes], second: Iterator[bytes]) -> bool:
    return all(one == other for one, other in zip_longest(first, second))


def _digest(shown: Any) -> bytes:
    found = hashlib.blake2b(digest_size=16)
    _update(found, shown)
    return found.digest()


def _update(found: Any, shown: Any) -> None:
    if isinstance(shown, dict):
        for key in sorted(shown, key=str):
            found.update(str(key).encode())
            _update(found, shown[key])
    elif isinstance(shown, list | tuple):
        for part in shown:
            _update(found, part)
    else:
        array = np.asarray(shown)
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes() if array.dtype != object else repr(shown).encode())
