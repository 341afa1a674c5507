"""Where the numbers of a report on a study come from: commands, versions, machines, episodes, failures."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import policypress
from policypress.engine.store.reader import StoreReader
from policypress_runtime.foreign_text import plain


@dataclass(frozen=True)
class Provenance:
    """Where the numbers come from.

    Attributes:
        commands: that make the database and this report, in their order.
        policypress: version that made the report.
        store_schema: version of the database's tables.
        started_at: when the first cell was planned, ISO 8601, UTC; empty without cells.
        finished_at: when the last cell changed.
        packages: name → versions that worked on the cells, without those on which nothing was run.
        platforms: operating systems and processors that worked on the cells.
        machines: descriptions of the machines on which costs were measured.
        episodes: number of episodes played, by number of episodes of a cell's protocol ("30": 2340).
        failures: the error of every cell that failed, each once, with how many cells it befell.
    """

    commands: tuple[str, ...]
    policypress: str
    store_schema: str
    started_at: str
    finished_at: str
    packages: Mapping[str, tuple[str, ...]]
    platforms: tuple[str, ...]
    machines: tuple[Mapping[str, Any], ...]
    episodes: Mapping[str, int]
    failures: Mapping[str, int]


def commands(file_name: str) -> tuple[str, str]:
    """How to run the study of this file, and to write its report, as a shell takes it.

    >>> commands("a b.yml")[0]
    "policypress study run 'a b.yml'"
    """
    quoted = shlex.quote(plain(file_name))
    return f"policypress study run {quoted}", f"policypress study report {quoted} -o DIR"


def read_provenance(store: StoreReader, file_name: str, machines: tuple[Mapping[str, Any], ...]) -> Provenance:
    """Where the numbers of ``store`` come from.

    Args:
        store: of the study.
        file_name: of the study file, for the commands.
        machines: that costs were measured on, each once.
    """
    rows = store.cells()
    packages: dict[str, set[str]] = {}
    platforms: set[str] = set()
    for worked in (entry for row in rows for entry in row.provenance):
        for name, version in worked.get("packages", {}).items():
            packages.setdefault(str(name), set()).add(str(version))
        platforms.add(", ".join(str(worked[name]) for name in ("platform", "python") if name in worked))
    played = Counter(str(row.cell.protocol.episodes) for row in rows if row.status == "done")
    worked_on = [row for row in rows if row.status != "pending"]
    failures = Counter(row.failure.message.splitlines()[0] for row in rows if row.failure is not None)
    return Provenance(
        commands=commands(file_name),
        policypress=policypress.__version__,
        store_schema=str(store.note("schema_version") or ""),
        started_at=min((row.created_at for row in rows), default=""),
        finished_at=max((row.updated_at for row in worked_on), default=""),
        packages={name: tuple(sorted(versions)) for name, versions in sorted(packages.items())},
        platforms=tuple(sorted(platforms - {""})),
        machines=machines,
        episodes={episodes: int(episodes) * cells for episodes, cells in sorted(played.items()) if episodes != "0"},
        failures=dict(failures),
    )
