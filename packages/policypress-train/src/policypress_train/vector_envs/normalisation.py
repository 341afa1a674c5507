"""Continues with the normaliser of a trained agent, whose statistics are in a file beside the zip."""

from __future__ import annotations

from pathlib import Path

from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize

from policypress.agents.archive import Archive, read_bytes
from policypress.agents.normalisers.normalisation import STATISTICS
from policypress.agents.normalisers.vecnormalize import Moments, read_normaliser_state
from policypress.agents.sb3.reading import stored_observation_space
from policypress.agents.zoo.reading import statistics_of_zip
from policypress_runtime.contract import Space
from policypress_runtime.errors import AgentError, TrainingInputError

_MOST_BYTES = 64 * 2**20


def statistics_of(agent: Path, normalizer: str | None = None) -> Path | None:
    """The file of an agent's statistics; None if there is none.

    Where the user states nothing it is the one that a training wrote into the folder of the zip's name, or else what
    every reader of agents takes: the one file around the zip that holds statistics and can be meant.

    Args:
        agent: the zip.
        normalizer: the file that the user states, or ``none``.

    Raises:
        AgentError: it is not certain which file belongs to the agent, or the one that is stated cannot be used.
    """
    if normalizer is None:
        by_name = _named(agent.with_suffix(""))
        if by_name is not None:
            return by_name
    space = _observed(agent)
    return _named(agent.parent) if space is None else statistics_of_zip(agent, space, normalizer)


def _named(folder: Path) -> Path | None:
    return next((folder / name for name in STATISTICS if (folder / name).is_file()), None)


def _observed(agent: Path) -> Space | None:
    """What the agent observes; None where its zip does not tell, and the training says what is wrong with it."""
    try:
        return stored_observation_space(Archive(read_bytes(agent), agent.name))
    except AgentError:
        return None


def statistics_bytes(agent: Path, normalizer: str | None = None) -> bytes:
    """That file's content; empty without one.

    Raises:
        AgentError: as :func:`statistics_of`, or it cannot be read.
    """
    found = statistics_of(agent, normalizer)
    return b"" if found is None else read_bytes(found, limit_bytes=_MOST_BYTES)


def load_statistics(layer: VecNormalize | None, agent: Path, normalizer: str | None = None) -> None:
    """Load a trained agent's normalisation statistics into a training's normaliser.

    Those of observations, and those of returns if both normalise rewards. They keep being updated, as in the library,
    unless VecNormalize has ``training=False``.

    Args:
        layer: the training's normaliser, or None if it has none.
        agent: the zip; nothing in its files is executed.
        normalizer: the agent's statistics that the user states, or ``none``.

    Raises:
        AgentError: the statistics cannot be read, or it is not certain which are the agent's.
        TrainingInputError: the agent's observations are normalised and the training's are not, or the other way round,
            or otherwise.
    """
    path = statistics_of(agent, normalizer)
    normalises = layer is not None and layer.norm_obs
    if path is None:
        if normalises:
            raise TrainingInputError(
                "The training's observations are normalised, and the statistics of the agent's are missing.",
                got=str(agent),
                expected="the file that VecNormalize.save() wrote, in the agent's folder or around it",
                hint="Give the file that was saved with the agent (--normalizer FILE), or train with --set "
                "normalize=false if it has none.",
            )
        return
    state = read_normaliser_state(read_bytes(path, limit_bytes=_MOST_BYTES), path.name)
    if bool(state.observations) != normalises:
        said = ("normalised", "not normalised") if state.observations else ("not normalised", "normalised")
        raise TrainingInputError(
            "A training can only start from an agent with the same observations.",
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
            "The agent's observations were normalised differently.",
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
