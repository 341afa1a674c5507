"""Episodes that a simulator plays side by side: as many at once as it has environments.

Only an environment's first episode after a reset counts, which every simulator tells from the next, however it starts
that one: at once, with the next step, or not by itself. So an episode does not depend on how long another one lasts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from policypress.environments.rollout import Actor, Observation, reward_failure
from policypress.environments.wrappers.faults import blamed, opened
from policypress.environments.wrappers.one_of_many import Array, OneOfMany, as_array, info_of_all
from policypress.records import Ending, EpisodeRecord
from policypress_runtime.errors import EnvironmentFailedError, ObservationError

Chooser = Callable[[Any], Any]
"""Gives the actions of a batch of observations, batch axis first."""


def side_by_side(factory: Callable[[], Any]) -> int:
    """How many episodes what ``factory`` makes plays at once."""
    with opened(factory) as env:
        return env.vector.num_envs if isinstance(env, OneOfMany) else 1


@dataclass(frozen=True)
class BatchActor:
    """An actor that can also act for many at once."""

    act: Actor
    act_batch: Chooser

    def __call__(self, observation: Observation) -> Any:
        """The action for one observation."""
        return self.act(observation)


def play_side_by_side(
    env: OneOfMany,
    choose: Callable[[Sequence[int]], Chooser],
    seeds: Sequence[int],
    max_steps: int | None,
    fall_key: str = "",
) -> tuple[EpisodeRecord, ...]:
    """One episode for each seed, in their order; as many at once as there are environments.

    Args:
        env: a simulator's.
        choose: gives what acts in the episodes of some seeds.
        seeds: of the episodes.
        max_steps: limit where the simulator has none.
        fall_key: the key of ``info`` that marks a fall; empty: none.

    Raises:
        ObservationError: an action is not finite, or their number is wrong.
        EnvironmentFailedError: the simulator raised, or gave an observation or a reward that is not finite.
    """
    width = env.vector.num_envs
    rows: list[EpisodeRecord] = []
    for start in range(0, len(seeds), width):
        part = seeds[start : start + width]
        rows += _block(env, choose(part), part, max_steps, fall_key)
    return tuple(rows)


def _block(
    env: OneOfMany, act: Chooser, seeds: Sequence[int], max_steps: int | None, fall_key: str
) -> list[EpisodeRecord]:
    vector, width, start_s = env.vector, env.vector.num_envs, time.process_time()
    by_hand = vector.metadata.get("autoreset_mode") == AutoresetMode.DISABLED
    playing = np.arange(width) < len(seeds)
    totals, lengths = np.zeros(width), np.zeros(width, np.int64)
    endings: list[Ending] = ["step_limit"] * width
    marked, fell = np.zeros(width, bool), np.zeros(width, bool)
    with blamed("reset()"):
        observations = env.reset_all(seeds)
    for _ in range(max_steps) if max_steps is not None else iter(int, 1):
        actions = _acted(act, observations, playing)
        with blamed("step()"):
            observations, rewards, terminated, truncated, told = vector.step(actions)
            ends = as_array(terminated).astype(bool), as_array(truncated).astype(bool)
        totals[playing] += as_array(rewards)[playing]
        lengths[playing] += 1
        done = ends[0] | ends[1]
        if fall_key:
            there, values = info_of_all(told, fall_key, done)
            marked |= playing & there
            fell |= playing & there & values
        for index in np.flatnonzero(playing & done).tolist():
            endings[index] = "terminated" if ends[0][index] else "truncated"
        playing &= ~done
        if not playing.any():
            break
        if by_hand and done.any():
            with blamed("reset()"):
                observations, _ = vector.reset(options={"reset_mask": done})
    each_s = (time.process_time() - start_s) / len(seeds)
    for index, seed in enumerate(seeds):
        if not math.isfinite(totals[index]):
            raise reward_failure(float(totals[index]), seed, int(lengths[index]))
    falls = [bool(fall) if there else None for fall, there in zip(fell, marked, strict=True)]
    numbers = zip(seeds, totals.tolist(), lengths.tolist(), endings, falls, strict=False)
    return [EpisodeRecord(seed, total, length, ending, each_s, fall) for seed, total, length, ending, fall in numbers]


def _acted(act: Chooser, observations: Any, playing: Array) -> Any:
    """Actions for all; what an environment shows whose episode is over is nobody's business."""
    shown = np.where(playing, np.arange(len(playing)), int(np.argmax(playing)))
    if isinstance(observations, dict):
        batch: Any = {key: as_array(value)[shown] for key, value in observations.items()}
    else:
        batch = as_array(observations)[shown]
    try:
        actions = np.asarray(act(batch))
    except ObservationError as error:
        raise EnvironmentFailedError(
            "The environment returned an observation outside its own observation space.",
            got=f"{error.message.rstrip('.')}: {error.got}",
            expected=error.expected,
            hint="Fix the environment: observations must be finite, and of the shape and dtype of its space.",
        ) from error
    if len(actions) != len(playing) or not np.isfinite(actions).all():
        raise ObservationError(
            "The policy's actions do not fit the environments.",
            got=f"shape {actions.shape}",
            expected=f"{len(playing)} finite actions",
        )
    return actions
