"""State around the algorithm: environments, normaliser, frame stack."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecNormalize

from policypress_runtime.errors import TrainingInputError
from policypress_train.vector_envs.making import frame_stack, innermost, normaliser
from policypress_train.vector_envs.replayable import PartialEpisode, Replayable

Plain = dict[str, Any]
Arrays = dict[str, Any]


def env_state(model: BaseAlgorithm) -> tuple[Plain, Arrays]:
    """Capture the state as plain data, and arrays by name."""
    environments = _environments(model)
    plain: Plain = {"episodes": []}
    arrays: Arrays = {}
    inner = innermost(environments)
    for index, env in enumerate(_replayable(environments)):
        episode = env.partial_episode()
        plain["episodes"].append(
            {
                "stream": episode.stream,
                "emulator": episode.emulator,
                "seed": episode.seed,
                "started": episode.started,
                "resets": list(episode.resets),
            }
        )
        arrays[f"episode{index}/actions"] = episode.actions
    for key, array in inner.buf_obs.items():
        arrays[f"shown/{key}"] = array
    layer = normaliser(environments)
    if layer is not None:
        arrays |= _statistics(layer)
    stack = frame_stack(environments)
    if stack is not None:
        for key, frames in _stacked(stack).items():
            arrays[f"stack/{key}"] = frames
    return plain, arrays


def restore_env_state(model: BaseAlgorithm, plain: Plain, arrays: Arrays) -> bool:
    """Inverse of :func:`env_state`, for environments that were reset at least once.

    Returns:
        whether every environment gives the same observation as then. One that does not is not deterministic: it
        begins a new episode, and the algorithm sees that episode's first observation.
    """
    environments = _environments(model)
    inner = innermost(environments)
    found = _replayable(environments)
    if len(found) != len(plain["episodes"]):
        raise TrainingInputError(
            "The checkpoint has another number of environments.",
            got=str(len(plain["episodes"])),
            expected=str(len(found)),
        )
    shown = {key: arrays[f"shown/{key}"] for key in inner.buf_obs}
    exact = True
    for index, (env, stored) in enumerate(zip(found, plain["episodes"], strict=True)):
        actions = arrays[f"episode{index}/actions"]
        episode = PartialEpisode(**{**stored, "resets": tuple(stored["resets"])}, actions=actions)
        observation = env.replay(episode)
        inner._save_obs(index, observation)
        exact = exact and all(np.array_equal(inner.buf_obs[key][index], shown[key][index]) for key in shown)
    layer = normaliser(environments)
    if layer is not None:
        _restore_statistics(layer, arrays)
    stack = frame_stack(environments)
    if stack is not None:
        for key, frames in _stacked(stack).items():
            frames[...] = arrays[f"stack/{key}"]
    if not exact:
        model._last_obs = environments.reset()  # type: ignore[assignment]  # one observation per environment
        model._last_episode_starts = np.ones((environments.num_envs,), dtype=bool)
        if layer is not None:
            model._last_original_obs = layer.get_original_obs()
    return exact


def _environments(model: BaseAlgorithm) -> VecEnv:
    environments = model.env
    if environments is None:
        raise TrainingInputError("The algorithm has no environments.")
    return environments


def _replayable(environments: VecEnv) -> list[Replayable]:
    return [env for env in innermost(environments).envs if isinstance(env, Replayable)]


def _stacked(stack: VecFrameStack) -> Arrays:
    found = stack.stacked_obs
    if isinstance(found.observation_space, gymnasium.spaces.Dict):
        return {key: part.stacked_obs for key, part in found.sub_stacked_observations.items()}
    return {"": found.stacked_obs}


def _statistics(layer: VecNormalize) -> Arrays:
    arrays: Arrays = {"normaliser/returns": layer.returns, "normaliser/old_reward": layer.old_reward}
    for name, statistics in _running(layer).items():
        arrays |= {f"normaliser/{name}/{part}": np.asarray(getattr(statistics, part)) for part in _PARTS}
    old = layer.old_obs
    arrays |= {f"normaliser/old/{key}": array for key, array in (old if isinstance(old, dict) else {"": old}).items()}
    return arrays


_PARTS = ("mean", "var", "count")


def _running(layer: VecNormalize) -> dict[str, RunningMeanStd]:
    named: dict[str, RunningMeanStd] = {"reward": layer.ret_rms}
    if layer.norm_obs:
        observed = layer.obs_rms
        named |= (
            {f"observation.{key}": part for key, part in observed.items()}
            if isinstance(observed, dict)
            else {"observation": observed}
        )
    return named


def _restore_statistics(layer: VecNormalize, arrays: Arrays) -> None:
    layer.returns = arrays["normaliser/returns"].copy()
    layer.old_reward = arrays["normaliser/old_reward"].copy()
    for name, statistics in _running(layer).items():
        for part in _PARTS:
            value = arrays[f"normaliser/{name}/{part}"].copy()
            setattr(statistics, part, float(value) if part == "count" else value)
    prefix = "normaliser/old/"
    old = {name.removeprefix(prefix): array.copy() for name, array in arrays.items() if name.startswith(prefix)}
    layer.old_obs = old.get("", old)
