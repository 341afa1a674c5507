"""Output files of a training: the library's zip, and beside it a folder as the RL Zoo writes it, with the record.

``agent.zip`` gets the folder ``agent/``: ``config.yml`` and ``args.yml`` (hyperparameters, environment),
``vecnormalize.pkl`` where observations or rewards were normalised, ``training.json`` (the record), and ``policy.zip``
if it was asked for.
"""

from __future__ import annotations

import io
import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from stable_baselines3.common.base_class import BaseAlgorithm

from policypress_runtime.atomic_write import write_atomic
from policypress_runtime.errors import TrainingInputError
from policypress_train.algorithms import ALGORITHMS
from policypress_train.hyperparameters.settings import POLICY_KWARGS
from policypress_train.record import TrainingRecord
from policypress_train.sparse.strip import strip
from policypress_train.spec import TrainingSpec
from policypress_train.vector_envs.making import normaliser


@dataclass(frozen=True)
class OutputPaths:
    """Paths of a training's files, all derived from that of its zip."""

    zip: Path

    @property
    def folder(self) -> Path:
        """Folder of everything but the zip."""
        return self.zip.with_suffix("")

    @property
    def checkpoint(self) -> Path:
        """Folder of the checkpoint; removed when the training is done."""
        return self.folder / "checkpoint"

    @property
    def record(self) -> Path:
        """The training record."""
        return self.folder / "training.json"

    @property
    def policy(self) -> Path:
        """The policy-only zip, beside the files it needs."""
        return self.folder / "policy.zip"


def output_paths(output: Path) -> OutputPaths:
    """The paths of a training with ``-o output``.

    Raises:
        TrainingInputError: the output is not the path of a zip.
    """
    if output.suffix != ".zip" or output.is_dir():
        raise TrainingInputError(
            "A training writes a Stable-Baselines3 zip.", got=str(output), expected="a path that ends in .zip"
        )
    return OutputPaths(output)


def read_record(where: OutputPaths) -> TrainingRecord | None:
    """The record of a finished training, or None if there is none.

    Raises:
        TrainingInputError: it cannot be read.
    """
    if not where.record.is_file():
        return None
    try:
        return TrainingRecord.from_json(json.loads(where.record.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingInputError(
            "The training record cannot be read.",
            got=f"{where.record}: {type(error).__name__}: {error}",
            hint=f"Delete {where.folder} to restart this training.",
        ) from error


def write_outputs(
    where: OutputPaths, model: BaseAlgorithm, spec: TrainingSpec, record: TrainingRecord, *, stripped: bool
) -> None:
    """Write all files; the record comes last, since its presence marks the training as done.

    Raises:
        OutputError: a file cannot be written.
    """
    full = saved_zip(model, spec)
    write_atomic(where.zip, full)
    for name, content in zoo_files(spec).items():
        write_atomic(where.folder / name, content)
    layer = None if model.env is None else normaliser(model.env)
    if layer is not None:
        write_atomic(where.folder / "vecnormalize.pkl", pickle.dumps(layer))
    if stripped:
        write_stripped(where, spec)
    write_atomic(where.record, json.dumps(record.to_json(), separators=(",", ":")).encode())


def write_stripped(where: OutputPaths, spec: TrainingSpec) -> None:
    """Write the policy-only zip from the training's zip.

    Raises:
        OutputError: it cannot be written.
    """
    write_atomic(where.policy, strip(where.zip.read_bytes(), ALGORITHMS[spec.algorithm]))


def saved_zip(model: BaseAlgorithm, spec: TrainingSpec) -> bytes:
    """The zip that ``model.save()`` writes, with the environment's id among its fields."""
    model.env_id = spec.environment.id  # type: ignore[attr-defined]  # every attribute is saved as a field
    content = io.BytesIO()
    model.save(content)
    return content.getvalue()


def zoo_files(spec: TrainingSpec) -> dict[str, bytes]:
    """Name → content of the YAML files that say how ``spec`` trained, as the RL Zoo writes them."""
    written = {"config.yml": _config(spec), "args.yml": _arguments(spec)}
    return {name: yaml.safe_dump(content, sort_keys=False).encode() for name, content in written.items()}


def _config(spec: TrainingSpec) -> dict[str, Any]:
    """Hyperparameters as the Zoo's ``config.yml`` has them."""
    stored = dict(spec.hyperparameters)
    if POLICY_KWARGS in stored:
        stored[POLICY_KWARGS] = _expression(stored[POLICY_KWARGS])
    if isinstance(stored.get("normalize"), dict):
        stored["normalize"] = repr(stored["normalize"])
    wrappers = [{wrapper.name: dict(wrapper.kwargs)} for wrapper in spec.environment.wrappers]
    if wrappers:
        stored["env_wrapper"] = wrappers
    episodes = {} if spec.episodes is None else {"n_episodes": spec.episodes}
    return {"n_timesteps": spec.steps, **episodes, **stored}


def _expression(arguments: dict[str, Any]) -> str:
    items = (f"{name}={f'nn.{value}' if name == 'activation_fn' else repr(value)}" for name, value in arguments.items())
    return f"dict({', '.join(items)})"


def _arguments(spec: TrainingSpec) -> dict[str, Any]:
    return {
        "algo": spec.algorithm,
        "env": spec.environment.id,
        "env_kwargs": dict(spec.environment.kwargs),
        "seed": spec.seed,
        "n_timesteps": spec.steps,
    }
