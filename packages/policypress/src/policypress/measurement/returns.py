"""Returns of a policy: the undiscounted sum of raw rewards, one row per episode."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from policypress.environments.memory.remembering import ActorWithMemory
from policypress.environments.rollout import Actor, run_episode
from policypress.environments.wrappers.faults import opened
from policypress.environments.wrappers.masks import MaskedActor
from policypress.environments.wrappers.observation import Env
from policypress.records import EpisodeRecord
from policypress_runtime.runtimes.protocol import Runtime


def actor_of(runtime: Runtime) -> Actor:
    """What acts in an environment with an artifact: among the allowed actions, where its scores are to be masked.

    With a memory, which is empty at the start of every episode, where the artifact has one.
    """
    if runtime.contract.state:
        return ActorWithMemory(runtime.act, runtime.reset, lambda: runtime.state)
    return MaskedActor(runtime.act, runtime.act_masked) if runtime.contract.masked else runtime.act


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

    An episode depends on its seed alone, so that the same seeds give the same rows however they are divided.

    Args:
        act: gives an action of the environment for an observation.
        factory: makes the environment.
        seeds: of the episodes; the same list for baseline and variant.
        max_steps: limit for environments that have none of their own.
        on_episode: is called with each row as soon as it is there.
        fall_key: the key of ``info`` that marks a fall; empty: none.
    """
    rows = []
    with opened(factory) as env:
        for seed in seeds:
            rows.append(run_episode(env, act, seed, max_steps, fall_key=fall_key))
            if on_episode is not None:
                on_episode(rows[-1])
    return tuple(rows)
