"""Checkpoints: a training's whole state, from which it resumes exactly.

Saved are the algorithm's parameters, optimizers and other tensors; its counters and statistics; every random
generator; the observation normaliser and frame stack; the replay buffer; and how to restore each environment. It is
read as plain data: nothing in it is executed.
"""

from __future__ import annotations

import io
import json
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.save_util import recursive_getattr

from policypress_runtime.atomic_write import write_atomic
from policypress_runtime.errors import TrainingInputError
from policypress_train.checkpoints import transitions
from policypress_train.checkpoints.randomness import global_state, restore_global, restore_space, space_state
from policypress_train.vector_envs.env_state import env_state, restore_env_state

FORMAT = 1
STATE = "state.pt"
_COUNTERS = (
    "num_timesteps",
    "_total_timesteps",
    "_episode_num",
    "_n_updates",
    "_current_progress_remaining",
    "exploration_rate",
    "_n_calls",
)
_ARRAYS = ("_last_obs", "_last_original_obs", "_last_episode_starts")
_STATISTICS = ("ep_info_buffer", "ep_success_buffer")


@dataclass
class Checkpoint:
    """One checkpoint in memory: JSON-compatible data, and tensors."""

    plain: dict[str, Any]
    tensors: dict[str, Any]
    files: list[str] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """Environment steps done."""
        return int(self.plain["counters"]["num_timesteps"])


def capture(model: BaseAlgorithm, spec_hash: str, log: dict[str, Any]) -> Checkpoint:
    """Capture the state between two rounds of collecting and learning.

    Args:
        model: the algorithm.
        spec_hash: the training's identity.
        log: the training log so far, in JSON form.
    """
    random_plain, random_tensors = global_state()
    outside, arrays = env_state(model)
    names, variables = model._get_torch_save_params()
    for name in _ARRAYS:
        arrays |= _packed(name, getattr(model, name, None))
    noise = getattr(getattr(model, "action_noise", None), "noise_prev", None)
    arrays |= _packed("noise", noise)
    plain = {
        "format": FORMAT,
        "spec": spec_hash,
        "counters": {name: getattr(model, name) for name in _COUNTERS if hasattr(model, name)},
        "modes": {name: module.training for name, module in model.policy.named_modules()},
        "statistics": {name: list(getattr(model, name) or ()) for name in _STATISTICS},
        "random": random_plain,
        "actions": space_state(model.action_space),
        "surroundings": outside,
        "story": log,
    }
    tensors = {
        "parameters": {name: recursive_getattr(model, name).state_dict() for name in names},
        "variables": {name: recursive_getattr(model, name).detach() for name in variables},
        "unsaved": {name: buffer.detach() for name, buffer in _unsaved(model).items()},
        "random": random_tensors,
        "arrays": {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()},
    }
    return Checkpoint(plain, tensors)


def write(folder: Path, model: BaseAlgorithm, checkpoint: Checkpoint, before: Checkpoint | None) -> None:
    """Replace the previous checkpoint; if the process is killed, one of the two is complete.

    Raises:
        OutputError: the folder cannot be written.
    """
    if isinstance(model, OffPolicyAlgorithm) and model.replay_buffer is not None:
        done = model.num_timesteps // model.n_envs
        start = 0 if before is None else before.steps // model.n_envs
        kept = transitions.still_needed([] if before is None else before.files, done, model.replay_buffer.buffer_size)
        checkpoint.files = kept + (
            [transitions.save_new(folder, model.replay_buffer, start, done)] if done > start else []
        )
    content = io.BytesIO()
    stored = {"plain": json.dumps(checkpoint.plain, default=_as_plain), "files": checkpoint.files}
    torch.save({**stored, **checkpoint.tensors}, content)
    write_atomic(folder / STATE, content.getvalue())
    transitions.remove_others(folder, checkpoint.files)


def read(folder: Path) -> Checkpoint | None:
    """The checkpoint in ``folder``, or None if there is none.

    Raises:
        TrainingInputError: it is damaged or of another format.
    """
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        plain = json.loads(stored.pop("plain"))
        checkpoint = Checkpoint(plain, stored, [str(name) for name in stored.pop("files")])
        known = plain["format"] == FORMAT
    except Exception as error:
        raise _damaged(path, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}") from error
    if not known:
        raise _damaged(path, f"format {plain['format']}")
    return checkpoint


def restore(folder: Path, model: BaseAlgorithm, checkpoint: Checkpoint) -> bool:
    """Put a model that was set up for the same spec into the checkpoint's state.

    Returns:
        whether every environment was restored exactly; those that were not begin a new episode.

    Raises:
        TrainingInputError: the checkpoint does not fit, or its replay buffer cannot be read.
    """
    plain, tensors = checkpoint.plain, checkpoint.tensors
    try:
        model.set_parameters(tensors["parameters"], exact_match=True, device=model.device)
        for name, value in tensors["variables"].items():
            recursive_getattr(model, name).data.copy_(value)
        for name, buffer in _unsaved(model).items():
            buffer.copy_(tensors["unsaved"][name])
        for name, module in model.policy.named_modules():
            vars(module)["training"] = plain["modes"][name]
        for name, value in plain["counters"].items():
            setattr(model, name, value)
        for name, items in plain["statistics"].items():
            setattr(model, name, deque(items, maxlen=model._stats_window_size))
        arrays = {name: tensor.numpy() for name, tensor in tensors["arrays"].items()}
        for name in _ARRAYS:
            setattr(model, name, _unpacked(name, arrays))
        noise = getattr(model, "action_noise", None)
        if noise is not None and "noise" in arrays:
            noise.noise_prev = arrays["noise"].copy()
    except TrainingInputError:
        raise
    except Exception as error:
        raise _damaged(folder / STATE, f"{type(error).__name__}: {str(error).splitlines()[0]}") from error
    if isinstance(model, OffPolicyAlgorithm) and model.replay_buffer is not None:
        transitions.load(folder, model.replay_buffer, checkpoint.files, model.num_timesteps // model.n_envs)
    exact = restore_env_state(model, plain["surroundings"], arrays)
    model._num_timesteps_at_start = model.num_timesteps
    restore_space(model.action_space, plain["actions"])
    restore_global(plain["random"], tensors["random"])
    return exact


def _unsaved(model: BaseAlgorithm) -> dict[str, torch.Tensor]:
    """Non-persistent buffers of the policy; quantizers keep held ranges in such."""
    saved = model.policy.state_dict()
    return {name: buffer for name, buffer in model.policy.named_buffers() if name not in saved}


def _packed(name: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, dict):
        return {f"{name}/{key}": array for key, array in value.items()}
    return {name: value}


def _unpacked(name: str, arrays: dict[str, Any]) -> Any:
    if name in arrays:
        return arrays[name].copy()
    parts = {key.partition("/")[2]: array.copy() for key, array in arrays.items() if key.startswith(f"{name}/")}
    return parts or None


def _as_plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be saved")


def _damaged(path: Path, got: str) -> TrainingInputError:
    return TrainingInputError(
        "The checkpoint cannot be used.",
        got=f"{path}: {got}"[:400],
        expected="one that this version wrote for this training",
        hint=f"Delete {path.parent} to restart this training.",
    )
