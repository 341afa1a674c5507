"""Name and kind of report of a study file, read without what validates the rest, which needs torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from policypress.agents.zoo.yaml_data import MAX_YAML_BYTES, load_counted
from policypress.study.overrides import overridden
from policypress_runtime.errors import StudyInputError
from policypress_runtime.regular_file import read_regular

DEFAULT_REPORT = "grid"
"""The general report, for any agents and recipes."""


@dataclass(frozen=True)
class SpecHeader:
    """Of a study file: its name, what it is reported as, and where and what it is.

    ``data`` is the whole file as plain data, with the changes of the command line; only name and report are checked.
    """

    name: str
    report: str
    path: Path
    data: Mapping[str, Any]


def read_header(path: Path, overrides: Sequence[str] = ()) -> SpecHeader:
    """The header of a study file, with changes as :func:`~policypress.study.overrides.overridden` takes them.

    Raises:
        StudyInputError: it is not there, not YAML, or has no name; or a change does not fit.
    """
    data = read_data(path, overrides)
    name = data.get("name") if isinstance(data, dict) else None
    if not isinstance(name, str) or not name or "/" in name or name.startswith("."):
        raise StudyInputError(
            "The study file does not name its study.",
            got=f"{path}: name {name!r}",
            expected="`name:` and what docs/studies.md describes",
        )
    return SpecHeader(name, str(data.get("report", DEFAULT_REPORT)), path, data)


def read_data(path: Path, overrides: Sequence[str] = ()) -> Any:
    """A study file as plain data, with changes as :func:`~policypress.study.overrides.overridden` takes them.

    Raises:
        StudyInputError: it is not there, or not YAML; or a change does not fit.
    """
    try:
        content = read_regular(path, limit_bytes=MAX_YAML_BYTES, error=StudyInputError)
        data = load_counted(content.decode("utf-8"))
    # Besides YAMLError: bytes that are no text, dates that are none, keys that cannot be keys.
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as error:
        place = " ".join(str(error).split())
        raise StudyInputError("The study file is not YAML.", got=f"{path}: {place}", expected="YAML") from error
    return overridden(data, overrides)
