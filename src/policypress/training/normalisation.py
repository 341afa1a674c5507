"""Continues with the normaliser of a trained agent, whose statistics are in a file beside the zip."""

from __future__ import annotations

from pathlib import Path

from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize

from policypress.agent.archive import read_bytes
from policypress.agent.vecnormalize import Moments, read_normaliser_state
from policypress.errors import TrainingInputError

_NAMES = ("vecnormalize.pkl", "vec_normalize.pkl")
_MOST_BYTES = 64 * 2**20


def statistics_of(agent: Path) -> Path | None:
    """The file of an agent's statistics: in the folder of the zip's name, or beside the zip; None if there is none."""
    folders = (agent.with_suffix(""), agent.parent)
    return next((folder / name for folder in folders for name in _NAMES if (folder / name).is_file()), None)


def statistics_bytes(agent: Path) -> bytes:
    """That file's content; empty without one.

    Raises:
        AgentError: it cannot be read.
    """
    found = statistics_of(agent)
    return b"" if found is None else read_bytes(found, limit_bytes=_MOST_BYTES)


def load_statistics(layer: VecNormalize | None, agent: Path) -> None:
    """Load a trained agent's normalisation statistics into a training's normaliser.

    Those of observations, and those of returns if both normalise rewards. They keep being updated, as in the library,
    unless VecNormalize has ``training=False``.

    Args:
        layer: the training's normaliser, or None if it has none.
        agent: the zip; nothing in its files is executed.

    Raises:
        AgentError: the statistics cannot be read.
        TrainingInputError: the agent's observations are normalised and the training's are not, or the other way round,
            or otherwise.
    """
    path = statistics_of(agent)
    normalises = layer is not None and layer.norm_obs
    if path is None:
        if normalises:
            raise TrainingInputError(
                "The training's observations are normalised, and the statistics of the agent's are missing.",
                got=str(agent),
                expected=f"{_NAMES[0]} in the folder {agent.with_suffix('')} or beside the zip",
                hint="Copy the file that was saved with the agent, or train with --set normalize=false if it has none.",
            )
        return
    state = read_normaliser_state(read_bytes(path, limit_bytes=_MOST_BYTES), path.name)
    if bool(state.observations) != normalises:
        said = ("normalised", "not normalised") if state.observations else ("not normalised", "normalised")
        raise TrainingInputError(
            "A training can only start from an agent that sees what it will see.",
            got=f"{path}: the agent's observations are {said[0]}, the training's {said[1]}",
            expected="both or neither",
            hint=f"Give the training --set normalize={'true' if state.observations else 'false'}.",
        )
    if layer is None:
        return
    if normalises:
        _check_alike(layer, state.epsilon, state.clip, path)
        running = layer.obs_rms if isinstance(layer.obs_rms, dict) else {"": layer.obs_rms}
        for key, moments in state.observations.items():
            _set(running.get(key), moments, path)
    if layer.norm_reward and state.returns is not None:
        _set(layer.ret_rms, state.returns, path)


def _check_alike(layer: VecNormalize, epsilon: float, clip: float, path: Path) -> None:
    if (layer.epsilon, layer.clip_obs) != (epsilon, clip):
        raise TrainingInputError(
            "The agent's observations were normalised otherwise.",
            got=f"{path}: clip_obs {clip:g}, epsilon {epsilon:g}",
            expected=f"clip_obs {layer.clip_obs:g}, epsilon {layer.epsilon:g}, as in this training",
            hint=f"Give the training --set \"normalize={{'clip_obs': {clip!r}, 'epsilon': {epsilon!r}}}\".",
        )


def _set(running: RunningMeanStd | None, moments: Moments, path: Path) -> None:
    if running is None or running.mean.shape != moments.mean.shape:
        raise TrainingInputError(
            "The normalisation statistics do not fit the training's observations.",
            got=f"{path}: shape {moments.mean.shape}",
            expected="the same observations" if running is None else f"shape {running.mean.shape}",
        )
    running.mean, running.var, running.count = moments.mean.copy(), moments.variance.copy(), moments.count
