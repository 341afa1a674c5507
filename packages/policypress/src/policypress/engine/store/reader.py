"""Reading the result store: typed queries, no more. What reports are made from."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, get_args

from policypress.engine.cells.cell import Cell, CellKind
from policypress.engine.store.schema import connect, damaged, decoded, explained
from policypress.engine.tasks.task import Failure
from policypress.records import ArtifactRecord, EpisodeRecord, Measurement
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import PolicypressError

Status = Literal["pending", "running", "done", "failed"]
STORE_NAME = "study.db"
_PROTOCOL: Mapping[str, tuple[type, ...]] = {
    "episodes": (int,),
    "seed": (int,),
    "purpose": (str,),
    "max_steps": (int, type(None)),
    "runtime": (str,),
    "version": (int,),
}
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


@dataclass(frozen=True)
class CellResult:
    """A cell with all that the store has of it: what every report and export is made from.

    Attributes:
        row: the cell, and where it stands.
        agent: whose cell it is; None for random actions.
        training: record of how the study trained that agent; None where it did not, or has not yet.
        episodes: that were played, by seed; those of a cell that is not done may be some of them.
        artifact: that was built.
        measurements: of costs, in the order in which they were made.
    """

    row: CellRow
    agent: AgentRow | None
    training: Mapping[str, Any] | None
    episodes: tuple[EpisodeRecord, ...]
    artifact: ArtifactRecord | None
    measurements: tuple[Measurement, ...]

    @property
    def done(self) -> bool:
        """Whether it is."""
        return self.row.status == "done"

    @property
    def environment_id(self) -> str:
        """Of the environment that is acted in; empty where there is none."""
        return "" if self.row.cell.environment is None else self.row.cell.environment.id

    @property
    def failure(self) -> str:
        """First line of why it failed; empty where it did not."""
        lines = "" if self.row.failure is None else self.row.failure.message.splitlines()
        return lines[0] if lines else ""

    @property
    def returns(self) -> tuple[float, ...]:
        """Of its episodes, sums of raw rewards."""
        return tuple(float(episode.episode_return) for episode in self.episodes)

    @property
    def lengths(self) -> tuple[float, ...]:
        """Of its episodes, in steps."""
        return tuple(float(episode.length) for episode in self.episodes)


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
        return tuple(map(self._agent, self._decoded("agents", "SELECT * FROM agents ORDER BY sha256")))

    def cells(self, status: Status | None = None, kind: CellKind | None = None) -> tuple[CellRow, ...]:
        """Every cell, or those of one status or kind, in the order in which they were planned."""
        rows = self._decoded(
            "cells",
            "SELECT * FROM cells WHERE status = coalesce(?, status) AND kind = coalesce(?, kind) ORDER BY position",
            (status, kind),
        )
        return tuple(map(self._cell, rows))

    def cell(self, key: str) -> CellRow | None:
        """The cell ``key``, if it was ever planned."""
        return next(map(self._cell, self._decoded("cells", "SELECT * FROM cells WHERE key = ?", (key,))), None)

    def results(self, keys: Iterable[str] | None = None) -> Iterator[CellResult]:
        """Every cell, or those of ``keys`` that there are, with all that was found, in the order of planning.

        One after the other, so that a large store needs no memory for all raw samples at once.
        """
        agents = {agent.sha256: agent for agent in self.agents()}
        trainings = self.trainings()
        wanted = None if keys is None else frozenset(keys)
        for row in self.cells():
            if wanted is None or row.key in wanted:
                identity = row.cell.agent_sha256 or ""
                yield CellResult(
                    row=row,
                    agent=agents.get(identity),
                    training=trainings.get(identity),
                    episodes=self.episodes(row.key),
                    artifact=self.artifact(row.key),
                    measurements=self.measurements(row.key),
                )

    def counts(self) -> dict[Status, int]:
        """Number of cells of each status."""
        found = {row["status"]: row["n"] for row in self._rows("SELECT status, count(*) n FROM cells GROUP BY status")}
        return {status: found.get(status, 0) for status in get_args(Status)}

    def artifact(self, key: str) -> ArtifactRecord | None:
        """What was built for the cell ``key``; its path is relative to :attr:`folder`."""
        rows = self._decoded("artifacts", "SELECT * FROM artifacts WHERE cell_key = ?", (key,))
        return next(map(_artifact, rows), None)

    def artifact_files(self, key: str) -> dict[str, str]:
        """Path, relative to :attr:`folder`, → sha256 of each file of the cell's artifact."""
        rows = self._decoded("artifacts", "SELECT files_json FROM artifacts WHERE cell_key = ?", (key,))
        return {path: digest for row in rows for path, digest in row["files_json"].items()}

    def prepared_files(self, key: str) -> dict[str, str] | None:
        """Path, relative to :attr:`folder`, → sha256 of what the agent's cell ``key`` left; None if it is not done."""
        rows = self._decoded("prepared", "SELECT files_json FROM prepared WHERE cell_key = ?", (key,))
        return dict(rows[0]["files_json"]) if rows else None

    def trainings(self) -> dict[str, Mapping[str, Any]]:
        """Agent's identity → training record, of every agent that a study trained."""
        rows = self._decoded("prepared", "SELECT agent_sha256, training_json FROM prepared ORDER BY agent_sha256")
        found = {row["agent_sha256"]: row["training_json"] for row in rows}
        return {identity: record for identity, record in found.items() if record}

    def mean_episode_s(self) -> dict[str, float]:
        """Environment's id → mean CPU time of an episode in it, in seconds."""
        rows = self._rows(
            "SELECT json_extract(environment_json, '$.id') AS id, avg(cpu_s) AS mean FROM cells "
            "JOIN episodes ON cell_key = key GROUP BY id"
        )
        return {str(row["id"]): float(row["mean"]) for row in rows if row["mean"] is not None}

    def mean_build_s(self) -> dict[str, float]:
        """Recipe → mean time of building its artifact, in seconds."""
        rows = self._rows("SELECT recipe, avg(build_s) AS mean FROM artifacts GROUP BY recipe")
        return {str(row["recipe"]): float(row["mean"]) for row in rows if row["mean"] is not None}

    def episodes(self, key: str) -> tuple[EpisodeRecord, ...]:
        """The cell's episodes, by seed."""
        rows = self._decoded(
            "episodes",
            # All columns: a store that is only read may be from before falls were marked.
            "SELECT * FROM episodes WHERE cell_key = ? ORDER BY seed",
            (key,),
        )
        return tuple(map(_episode, rows))

    def seeds(self, key: str) -> frozenset[int]:
        """Seeds of the episodes that the cell has."""
        rows = self._decoded("episodes", "SELECT seed FROM episodes WHERE cell_key = ?", (key,))
        return frozenset(row["seed"] for row in rows)

    def measurements(self, key: str, quantity: str | None = None) -> tuple[Measurement, ...]:
        """The cell's cost measurements, or those of one quantity, in the order in which they were made."""
        rows = self._decoded(
            "measurements",
            "SELECT * FROM measurements WHERE cell_key = ? AND quantity = coalesce(?, quantity) ORDER BY id",
            (key, quantity),
        )
        return tuple(map(_measurement, rows))

    def measured_runs(self) -> dict[str, tuple[str, str]]:
        """Key of every cost cell that was measured → sha256 of the artifact, and the run that it was measured in."""
        rows = self._rows(
            "SELECT cell_key, json_extract(m.protocol_json, '$.artifact_sha256') AS artifact, "
            "json_extract(m.protocol_json, '$.run') AS run FROM measurements m JOIN cells ON cell_key = key "
            "WHERE kind = 'cost' GROUP BY cell_key"
        )
        return {str(row["cell_key"]): (str(row["artifact"]), str(row["run"])) for row in rows}

    def costs_of(self, cell: Cell) -> tuple[Measurement, ...]:
        """What acting with the artifact of ``cell`` costs, under every runtime, as its latest run measured it.

        Costs have cells of their own; stores of before have them in the cell that made the artifact.
        """
        record = self.artifact(cell.key)
        if record is None:
            return self.measurements(cell.key)
        keys = self._rows(
            "SELECT key FROM cells WHERE kind = 'cost' AND agent_sha256 = ? AND recipe_hash = ? ORDER BY position",
            (cell.agent_sha256, cell.recipe_hash),
        )
        found = [row for key in keys for row in self.measurements(key["key"])]
        own = [row for row in found if row.protocol.get("artifact_sha256") == record.sha256]
        latest = max((str(row.protocol.get("run")) for row in own), default=None)
        chosen = tuple(row for row in own if str(row.protocol.get("run")) == latest)
        return chosen or self.measurements(cell.key)

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

    def _decoded(self, table: str, query: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        return [decoded(row, table, self.path) for row in self._rows(query, values)]

    def _agent(self, row: Mapping[str, Any]) -> AgentRow:
        try:
            return _agent(row)
        except (PolicypressError, ValueError, TypeError, KeyError) as error:
            why = f"{type(error).__name__}: {error}"
            raise damaged(self.path, f"table agents, agent {row['sha256'][:12]!r}", why) from error

    def _cell(self, row: Mapping[str, Any]) -> CellRow:
        try:
            return _cell(row)
        except (PolicypressError, ValueError, TypeError, KeyError) as error:
            why = f"{type(error).__name__}: {error}"
            raise damaged(self.path, f"table cells, cell {row['key'][:12]!r}", why) from error

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


def _agent(row: Mapping[str, Any]) -> AgentRow:
    environment = row["environment_json"]
    return AgentRow(
        sha256=row["sha256"],
        source=row["source"],
        algorithm=row["algorithm"],
        environment=None if environment is None else EnvironmentSpec.from_json(environment),
        library_version=row["library_version"],
        training=row["training_json"],
        notices=tuple(row["notices_json"]),
    )


def _cell(row: Mapping[str, Any]) -> CellRow:
    stored = {name: row[name] for name in ("kind", "agent_sha256", "recipe", "recipe_hash", "recipe_json")}
    stored |= {name: row[f"{name}_json"] for name in ("environment", "protocol", "method_versions", "inputs")}
    for name, value in stored["protocol"].items():
        known = _PROTOCOL.get(name)
        if known is not None and not isinstance(value, known):
            raise TypeError(f"protocol: {name} is {value!r}")
    failure = None
    if row["error"] is not None:
        failure = Failure(row["error_kind"] or "", row["error"], row["error_traceback"] or "")
    return CellRow(
        key=row["key"],
        cell=Cell.from_json(stored),
        status=row["status"],
        failure=failure,
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        provenance=tuple(row["provenance_json"]),
    )


def _artifact(row: Mapping[str, Any]) -> ArtifactRecord:
    stored = {name: value for name, value in row.items() if name not in ("cell_key", "files_json", "notices_json")}
    return ArtifactRecord.from_json({**stored, "notices": row["notices_json"]})


def _episode(row: Mapping[str, Any]) -> EpisodeRecord:
    fell = row.get("fell")
    return EpisodeRecord(
        row["seed"],
        row["episode_return"],
        row["length"],
        row["ending"],
        row["cpu_s"],
        None if fell is None else bool(fell),
    )


def _measurement(row: Mapping[str, Any]) -> Measurement:
    return Measurement(
        quantity=row["quantity"],
        unit=row["unit"],
        samples=tuple(row["samples_json"]),
        protocol=row["protocol_json"],
        machine=row["machine_json"],
        source=row["source"],
        seed=row["seed"],
        version=row["version"],
    )
