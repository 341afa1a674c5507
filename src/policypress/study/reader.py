"""Reading the result store: typed queries, no more. What reports are made from."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, get_args

from policypress.contract import EnvironmentSpec
from policypress.records import ArtifactRecord, EpisodeRecord, Measurement
from policypress.study.cell import Cell, CellKind
from policypress.study.schema import connect, explained
from policypress.study.tasks import Failure

Status = Literal["pending", "running", "done", "failed"]
STORE_NAME = "study.db"
SPEC_KEY = "study"
"""Note under which the store of a study file keeps its name."""


@dataclass(frozen=True)
class AgentRow:
    """A parent agent: what identifies it, and what it says of itself."""

    sha256: str
    source: str
    algorithm: str
    environment: EnvironmentSpec | None = None
    library_version: str | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class CellRow:
    """A cell and where it stands.

    ``failure`` is there exactly when the status is ``failed``. Times are ISO 8601, UTC. ``provenance``
    has one entry for each different set of packages and platform that worked on the cell, in order.
    """

    key: str
    cell: Cell
    status: Status
    failure: Failure | None
    created_at: str
    updated_at: str
    provenance: tuple[Mapping[str, Any], ...]


class StoreReader:
    """Read-only view of the result store ``path``, also while a driver writes to it.

    Raises:
        StoreError: no store is there, or it is damaged or of another schema.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = self._connect()

    def _connect(self) -> sqlite3.Connection:
        return connect(self.path, write=False)

    @property
    def folder(self) -> Path:
        """The folder that the paths of artifacts are relative to."""
        return self.path.parent

    def note(self, name: str) -> str | None:
        """What the store was told about itself under ``name``."""
        rows = self._rows("SELECT value FROM meta WHERE name = ?", (name,))
        return str(rows[0]["value"]) if rows else None

    def agents(self) -> tuple[AgentRow, ...]:
        """Every parent agent, by identity."""
        return tuple(_agent(row) for row in self._rows("SELECT * FROM agents ORDER BY sha256"))

    def cells(self, status: Status | None = None, kind: CellKind | None = None) -> tuple[CellRow, ...]:
        """Every cell, or those of one status or kind, in the order in which they were planned."""
        rows = self._rows(
            "SELECT * FROM cells WHERE status = coalesce(?, status) AND kind = coalesce(?, kind) ORDER BY position",
            (status, kind),
        )
        return tuple(_cell(row) for row in rows)

    def cell(self, key: str) -> CellRow | None:
        """The cell ``key``, if it was ever planned."""
        return next((_cell(row) for row in self._rows("SELECT * FROM cells WHERE key = ?", (key,))), None)

    def counts(self) -> dict[Status, int]:
        """Number of cells of each status."""
        found = {row["status"]: row["n"] for row in self._rows("SELECT status, count(*) n FROM cells GROUP BY status")}
        return {status: found.get(status, 0) for status in get_args(Status)}

    def artifact(self, key: str) -> ArtifactRecord | None:
        """What was built for the cell ``key``; its path is relative to :attr:`folder`."""
        return next((_artifact(row) for row in self._rows("SELECT * FROM artifacts WHERE cell_key = ?", (key,))), None)

    def artifact_files(self, key: str) -> dict[str, str]:
        """Path, relative to :attr:`folder`, → sha256 of each file of the cell's artifact."""
        rows = self._rows("SELECT files_json FROM artifacts WHERE cell_key = ?", (key,))
        return {str(path): str(digest) for row in rows for path, digest in json.loads(row["files_json"]).items()}

    def prepared_files(self, key: str) -> dict[str, str] | None:
        """Path, relative to :attr:`folder`, → sha256 of what the agent's cell ``key`` left; None if it is not done."""
        rows = self._rows("SELECT files_json FROM prepared WHERE cell_key = ?", (key,))
        return {str(path): str(digest) for path, digest in json.loads(rows[0]["files_json"]).items()} if rows else None

    def trainings(self) -> dict[str, Mapping[str, Any]]:
        """Agent's identity → training record, of every agent that a study trained."""
        rows = self._rows("SELECT agent_sha256, training_json FROM prepared ORDER BY agent_sha256")
        found = {str(row["agent_sha256"]): json.loads(row["training_json"]) for row in rows}
        return {identity: record for identity, record in found.items() if record}

    def mean_episode_s(self) -> dict[str, float]:
        """Environment's id → mean CPU time of an episode in it, in seconds."""
        rows = self._rows(
            "SELECT json_extract(environment_json, '$.id') AS id, avg(cpu_s) AS mean FROM cells "
            "JOIN episodes ON cell_key = key GROUP BY id"
        )
        return {str(row["id"]): float(row["mean"]) for row in rows}

    def mean_build_s(self) -> dict[str, float]:
        """Recipe → mean time of building its artifact, in seconds."""
        rows = self._rows("SELECT recipe, avg(build_s) AS mean FROM artifacts GROUP BY recipe")
        return {str(row["recipe"]): float(row["mean"]) for row in rows}

    def episodes(self, key: str) -> tuple[EpisodeRecord, ...]:
        """The cell's episodes, by seed."""
        rows = self._rows(
            "SELECT seed, episode_return, length, ending, cpu_s FROM episodes WHERE cell_key = ? ORDER BY seed", (key,)
        )
        return tuple(EpisodeRecord(**dict(row)) for row in rows)

    def seeds(self, key: str) -> frozenset[int]:
        """Seeds of the episodes that the cell has."""
        return frozenset(row["seed"] for row in self._rows("SELECT seed FROM episodes WHERE cell_key = ?", (key,)))

    def measurements(self, key: str, quantity: str | None = None) -> tuple[Measurement, ...]:
        """The cell's cost measurements, or those of one quantity, in the order in which they were made."""
        rows = self._rows(
            "SELECT * FROM measurements WHERE cell_key = ? AND quantity = coalesce(?, quantity) ORDER BY id",
            (key, quantity),
        )
        return tuple(_measurement(row) for row in rows)

    def tables(self) -> dict[str, dict[str, str]]:
        """Table → column → its type, as the schema declares it."""
        names = [row["name"] for row in self._rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        columns = {name: self._rows(f"PRAGMA table_info({name})") for name in names}
        return {name: {str(row["name"]): str(row["type"]) for row in rows} for name, rows in columns.items()}

    def rows_of(self, table: str) -> Iterator[tuple[Any, ...]]:
        """All rows of one of the :meth:`tables`, one after the other."""
        with explained(self.path), closing(self._connection.execute(f"SELECT * FROM {table}")) as cursor:
            for row in cursor:
                yield tuple(row)

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        with explained(self.path), closing(self._connection.execute(query, values)) as cursor:
            return cursor.fetchall()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._connection.close()

    def __enter__(self) -> StoreReader:
        """The store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


def _agent(row: sqlite3.Row) -> AgentRow:
    environment = json.loads(row["environment_json"])
    return AgentRow(
        sha256=row["sha256"],
        source=row["source"],
        algorithm=row["algorithm"],
        environment=None if environment is None else EnvironmentSpec.from_json(environment),
        library_version=row["library_version"],
        training=json.loads(row["training_json"]),
        notices=tuple(json.loads(row["notices_json"])),
    )


def _cell(row: sqlite3.Row) -> CellRow:
    stored = {"kind": row["kind"], "agent_sha256": row["agent_sha256"]}
    stored |= {"recipe": row["recipe"], "recipe_hash": row["recipe_hash"]}
    for name in ("environment", "protocol", "recipe", "method_versions", "inputs"):
        value = json.loads(row[f"{name}_json"])
        stored["recipe_json" if name == "recipe" else name] = value
    failure = None
    if row["error"] is not None:
        failure = Failure(row["error_kind"], row["error"], row["error_traceback"])
    return CellRow(
        key=row["key"],
        cell=Cell.from_json(stored),
        status=row["status"],
        failure=failure,
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        provenance=tuple(json.loads(row["provenance_json"])),
    )


def _artifact(row: sqlite3.Row) -> ArtifactRecord:
    stored = {name: row[name] for name in row.keys() if name not in ("cell_key", "files_json", "notices_json")}  # noqa: SIM118
    return ArtifactRecord.from_json({**stored, "notices": json.loads(row["notices_json"])})


def _measurement(row: sqlite3.Row) -> Measurement:
    return Measurement(
        quantity=row["quantity"],
        unit=row["unit"],
        samples=tuple(json.loads(row["samples_json"])),
        protocol=json.loads(row["protocol_json"]),
        machine=json.loads(row["machine_json"]),
        source=row["source"],
        seed=row["seed"],
        version=row["version"],
    )
