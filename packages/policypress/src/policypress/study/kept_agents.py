"""Agents that were trained before: kept as small folders beside the study files, found again by what trained them.

A folder holds ``agent.zip`` (the policy alone) and ``agent/`` with what belongs to it, the training record among it:
the layout in which a study keeps its agents.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from policypress.engine.tasks.prepared_agent import AGENT_FILE, CALIBRATION_FILE, place_of
from policypress.study.training_identity import training_identity
from policypress_runtime.atomic_write import write_all_atomic
from policypress_runtime.errors import StudyInputError

RECORD_FILE = "training.json"
_BESIDE = Path(AGENT_FILE).stem


def kept_agents(folder: Path) -> dict[str, str]:
    """Identity of the training → folder, of every agent below ``folder``.

    An agent that was free to learn with any kernels is also the one that is pinned to those it did learn with.

    Raises:
        StudyInputError: there is no such folder, or a record in it cannot be read.
    """
    if not folder.is_dir():
        raise StudyInputError("There is no folder of trained agents.", got=str(folder), expected="a folder")
    found: dict[str, str] = {}
    pinned: dict[str, str] = {}
    for place in sorted(folder.iterdir()):
        if (place / AGENT_FILE).is_file() and (place / _BESIDE / RECORD_FILE).is_file():
            spec, kernels = _record(place)
            found[training_identity(spec)] = str(place)
            if kernels is not None:
                pinned.setdefault(training_identity({**spec, "kernels": kernels}), str(place))
    return pinned | found


def _record(place: Path) -> tuple[dict[str, object], str | None]:
    """The training's spec, and its kernels where none but those took part: of one that was resumed it is not known."""
    path = place / _BESIDE / RECORD_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        kernels = None if record.get("resumed") != [] else record.get("kernels")
        return dict(record["spec"]), None if kernels is None else str(kernels)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyInputError(
            "The record of a trained agent cannot be read.",
            got=f"{path}: {type(error).__name__}: {error}",
            expected="the training.json that `policypress train` writes",
        ) from error


def files_of(place: Path) -> dict[str, bytes]:
    """Path → content of the agent kept in ``place``: what a training would have left."""
    paths = [place / AGENT_FILE, *sorted(path for path in (place / _BESIDE).iterdir() if path.is_file())]
    return {str(PurePosixPath(path.relative_to(place))): path.read_bytes() for path in paths}


def keep(study_folder: Path, named: Iterable[tuple[str, str]], folder: Path) -> tuple[Path, ...]:
    """Copy agents that a study trained to where other studies, and people, find them; without their rollouts.

    Args:
        study_folder: of the study's results.
        named: identity and name of each agent; one that is not trained yet is left out.
        folder: that the copies go to, each into a folder of its name, or into the one that holds it already; where
            names are the same, with the start of the identity behind.

    Returns:
        The folders.

    Raises:
        StudyInputError: a folder holds the agent of another training; nothing is written then.
        OutputError: a file cannot be written.
    """
    listed = tuple(named)
    known = kept_agents(folder) if folder.is_dir() else {}
    names = Counter(name for _, name in listed)
    places: dict[str, Path] = {}
    for identity, name in listed:
        source = place_of(study_folder, identity)
        if (source / AGENT_FILE).is_file() and (source / _BESIDE / RECORD_FILE).is_file():
            told = name if names[name] == 1 else f"{name}-{identity[:8]}"
            places[identity] = Path(known.get(identity, folder / told))
    for identity, place in places.items():
        if identity not in known and str(place) in known.values():
            raise StudyInputError(
                "An agent of another training is kept under this name.",
                got=str(place),
                expected="a folder without it",
                hint="Choose another folder with --to.",
            )
    for identity, place in places.items():
        files = files_of(place_of(study_folder, identity))
        write_all_atomic({place / path: content for path, content in files.items() if path != CALIBRATION_FILE})
    return tuple(places.values())
