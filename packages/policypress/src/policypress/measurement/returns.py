"""Returns of a policy: the undiscounted sum of raw rewards, one row per episode."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from policypress.environments.memory.remembering import ActorWithMemory
from policypress.environments.rollout import Actor, run_episode
from policypress.environments.side_by_side import BatchActor, play_side_by_side
from policypress.environments.wrappers.faults import opened
from policypress.environments.wrappers.masks import MaskedActor
from policypress.environments.wrappers.observation import Env
from policypress.environments.wrappers.one_of_many import OneOfMany
from policypress.records import EpisodeRecord
from policypress_runtime.runtimes.protocol import Runtime


def actor_of(runtime: Runtime) -> Actor:
    """What acts in an environment with an artifact: among the allowed actions, where its scores are to be masked.

    With a memory, which is empty at the start of every episode, where the artifact has one.
    """
    if runtime.contract.state:
        return ActorWithMemory(runtime.act, runtime.reset, lambda: runtime.state)
    if runtime.contract.masked:
        return MaskedActor(runtime.act, runtime.act_masked)
    return BatchActor(runtime.act, runtime.act_batch)


def measure_returns(
    act: Actor,
    factory: Callable[[], Env],
    seeds: Sequence[int],
    *,
    max_steps: int | None = None,
    on_episode: Callable[[EpisodeRecord], None] | None = None,
    fall_key: str = "",
) -> tuple[EpisodeRecord, ...]:
    """One episode per seed, in the order of ``seeds``, all in one environment that is closed afterwards.

    In a simulator that steps many environments, as many episodes at once.

    An episode depends on its seed alone, so that the same seeds give the same rows however they are divided.

    Args:
        act: gives an action of the environment for an observation.
        factory: makes the environment.
        seeds: of the episodes; the same list for baseline and variant.
        max_steps: limit for environments that have none of their own.
        on_episode: is called with each row as soon as it is there.
        fall_key: the key of ``info`` that marks a fall; empty: none.
    """
    rows: list[EpisodeRecord] = []
    with opened(factory) as env:
        if isinstance(env, OneOfMany) and isinstance(act, BatchActor):
            choose, width = act.act_batch, env.vector.num_envs
            for start in range(0, len(seeds), width):
                rows += play_side_by_side(env, lambda _: choose, seeds[start : start + width], max_steps, fall_key)
                if on_episode is not None:
                    for row in rows[start:]:
                        on_episode(row)
            return tuple(rows)
        for seed in seeds:
            alone = act.act if isinstance(act, BatchActor) else act
            rows.append(run_episode(env, alone, seed, max_steps, fall_key=fall_key))
            if on_episode is not None:
                on_episode(rows[-1])
    return tuple(rows)
