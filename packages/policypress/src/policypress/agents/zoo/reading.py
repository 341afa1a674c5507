"""RL Zoo experiment folders: the zip and the files around it that say how its environment was made.

Layouts: everything in one folder (``HalfCheetah-v3.zip``, ``config.yml``, …), the YAML files and statistics in a
sub-folder named as the environment, and the Hub's (``vec_normalize.pkl``, ``env_kwargs.yml``).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from policypress.agents.archive import listing, read_bytes
from policypress.agents.bundle import Activation, AgentBundle
from policypress.agents.near_files import checkpoints_only
from policypress.agents.normalisers.names import steps_of
from policypress.agents.normalisers.normalisation import STATISTICS, Surroundings, normalisation_of
from policypress.agents.overrides import NO_OVERRIDES, Hints, Overrides
from policypress.agents.sb3.algorithm import named_in
from policypress.agents.sb3.defaults import ACTIVATIONS
from policypress.agents.sb3.reading import read_sb3_zip
from policypress.agents.zoo.config import ZooConfig, read_zoo_config
from policypress.agents.zoo.expressions import ClassName
from policypress.agents.zoo.yaml_data import MAX_YAML_BYTES, read_yaml
from policypress_runtime.contract import Space
from policypress_runtime.errors import AgentError

_COMPANIONS = ("config.yml", "args.yml", "env_kwargs.yml", *STATISTICS)
_NO_AGENTS = re.compile(r"train_eval_metrics|rl_model_\d+_steps|replay_buffer")
_TORCH_NN = ("nn", "th.nn", "torch.nn")


def is_zoo_folder(folder: Path) -> bool:
    """Whether the files that the Zoo writes beside a zip stand in ``folder``."""
    return any((folder / name).is_file() for name in _COMPANIONS)


def read_zoo_folder(folder: Path, *, overrides: Overrides = NO_OVERRIDES, name: str | None = None) -> AgentBundle:
    """Read the agent of an experiment folder.

    Args:
        folder: the experiment.
        overrides: what the user states.
        name: what the experiment is called, e.g. ``ppo-CartPole-v1``, if not as the folder.

    Raises:
        AgentError: there is no agent, or more than one that could be meant; or as ``read_sb3_zip``.
        DamagedAgentError: a file that the others call for is missing.
    """
    called = name or re.sub(r"_\d+$", "", folder.name)
    zips = sorted(path for path in folder.glob("*.zip") if not _NO_AGENTS.match(path.name))
    config = read_config(_companions(folder, [path.stem for path in zips]))
    path = _choose_zip(folder, zips, config.environment_id, called)
    return read_zoo_zip(path, overrides=overrides, name=called)


def read_zoo_zip(path: Path, *, overrides: Overrides = NO_OVERRIDES, name: str | None = None) -> AgentBundle:
    """Read a zip together with the files that the Zoo wrote beside it, or in the sub-folder of its name.

    Raises:
        AgentError: as ``read_zoo_folder``.
    """
    folder = _companions(path.parent, (path.stem,))
    config = read_config(folder)
    called = name or re.sub(r"_\d+$", "", path.parent.name)
    hints = Hints(config.algorithm or named_in(called), _activation(config), config.environment_id)
    bundle = read_sb3_zip(path, overrides=overrides, hints=hints)
    around = Surroundings(path, folder, config, _checkpoint_companions(path))
    normalisation = normalisation_of(around, bundle.observation_space, overrides)
    environment = bundle.environment
    if environment is not None:
        environment = replace(environment, kwargs=config.environment_kwargs, wrappers=config.wrappers)
    training = {**config.training, **bundle.provenance.training}
    return replace(
        bundle,
        environment=environment,
        normaliser=normalisation.normalisers,
        caller_supplies=tuple(dict.fromkeys((*config.caller_supplies, *normalisation.caller_supplies))),
        provenance=replace(bundle.provenance, training=training),
        notices=(*bundle.notices, *normalisation.notices),
        assumptions=normalisation.assumptions,
    )


def statistics_of_zip(path: Path, space: Space, normalizer: str | None) -> Path | None:
    """The file of statistics that belongs to the zip ``path``, as :func:`read_zoo_zip` finds it; None where none does.

    Args:
        path: the zip; it is not read.
        space: what the agent observes.
        normalizer: what the user states, as ``--normalizer``.

    Raises:
        AgentError: as ``normalisation_of``.
    """
    folder = _companions(path.parent, (path.stem,))
    around = Surroundings(path, folder, read_config(folder), _checkpoint_companions(path))
    return normalisation_of(around, space, Overrides(normalizer=normalizer)).file


def _companions(folder: Path, stems: Iterable[str]) -> Path:
    """Where the Zoo's files stand: in ``folder``, or in its sub-folder that is named as one of its zips."""
    for place in (folder, *(folder / stem for stem in stems)):
        if is_zoo_folder(place):
            return place
    beside = _zoo_folders_in(folder)
    # best_model.zip stands beside a sub-folder named as the environment.
    return beside[0] if len(beside) == 1 and "best_model" in stems else folder


def _zoo_folders_in(folder: Path) -> list[Path]:
    return [place for place in sorted(folder.iterdir()) if place.is_dir() and is_zoo_folder(place)]


def _checkpoint_companions(path: Path) -> tuple[Path, ...]:
    """Where the Zoo keeps the statistics of the end of the training whose checkpoint ``path`` is."""
    return () if steps_of(path.stem) is None else tuple(_zoo_folders_in(path.parent))


def read_config(folder: Path) -> ZooConfig:
    """What the YAML files in ``folder`` say.

    Raises:
        UnsafeAgentError: one of them asks for code to be executed.
        DamagedAgentError: one of them cannot be read.
    """
    config = _yaml(folder, "config.yml")
    return read_zoo_config(config, _yaml(folder, "args.yml") or {}, _yaml(folder, "env_kwargs.yml") or {})


def _yaml(folder: Path, name: str) -> dict[str, Any] | None:
    path = folder / name
    return read_yaml(read_bytes(path, limit_bytes=MAX_YAML_BYTES), name) if path.is_file() else None


def _choose_zip(folder: Path, zips: list[Path], environment_id: str | None, called: str) -> Path:
    names = (environment_id, called, called.partition("-")[2], "best_model")
    for stem in names:
        for path in zips:
            if stem and path.stem == stem:
                return path
    if len(zips) == 1:
        return zips[0]
    checkpoints = None if zips else checkpoints_only(folder)
    if checkpoints is not None:
        raise checkpoints
    raise AgentError(
        f"{folder} holds {'no agent' if not zips else 'several agents'}.",
        got=listing(p.name for p in sorted(folder.iterdir())),
        expected="one zip as Stable-Baselines3's save() writes it, or an .onnx file",
        hint=_one_of(zips or _experiments(folder)),
    )


def _experiments(folder: Path) -> list[Path]:
    """Folders directly in this one that hold a zip."""
    return sorted(below for below in folder.iterdir() if below.is_dir() and any(below.glob("*.zip")))


def _one_of(paths: list[Path]) -> str | None:
    shown = ", ".join(shlex.quote(str(path)) for path in paths[:6])
    return f"Give the one you mean: {shown}{' or another' if len(paths) > 6 else ''}." if paths else None


def _activation(config: ZooConfig) -> Activation | None:
    stored = config.policy_kwargs.get("activation_fn")
    if not isinstance(stored, ClassName):
        return None
    module, _, name = stored.dotted.rpartition(".")
    return Activation(ACTIVATIONS[name]) if module in _TORCH_NN and name in ACTIVATIONS else None
