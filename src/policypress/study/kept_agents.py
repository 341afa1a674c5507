"""Agents that were trained before: kept as small folders beside the study files, found again by what trained them.

A folder holds ``agent.zip`` (the policy alone) and ``agent/`` with what belongs to it, the training record among it:
the layout in which a study keeps its agents.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from policypress.errors import StudyInputError
from policypress.study.prepared_agent import AGENT_FILE, MATERIALS_FILE, place_of
from policypress.study.training_identity import training_identity
from policypress.whole_file import write_whole

RECORD_FILE = "training.json"
_BESIDE = Path(AGENT_FILE).stem


def kept_agents(folder: Path) -> dict[str, str]:
    """Identity of the training → folder, of every agent below ``folder``.

    Raises:
        StudyInputError: there is no such folder, or a record in it cannot be read.
    """
    if not folder.is_dir():
        raise StudyInputError("There is no folder of trained agents.", got=str(folder), expected="a folder")
    return {
        training_identity(_record(place)["spec"]): str(place)
        for place in sorted(folder.iterdir())
        if (place / AGENT_FILE).is_file() and (place / _BESIDE / RECORD_FILE).is_file()
    }


def _record(place: Path) -> dict[str, dict[str, object]]:
    path = place / _BESIDE / RECORD_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {"spec": dict(record["spec"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
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
        folder: that the copies go to, each into a folder of its name.

    Returns:
        The folders.

    Raises:
        OutputError: a file cannot be written.
    """
    places = []
    for identity, name in named:
        source = place_of(study_folder, identity)
        if not (source / AGENT_FILE).is_file() or not (source / _BESIDE / RECORD_FILE).is_file():
            continue
        for path, content in files_of(source).items():
            if path != MATERIALS_FILE:
                write_whole(folder / name / path, content)
        places.append(folder / name)
    return tuple(places)
