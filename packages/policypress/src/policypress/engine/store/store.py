"""Writing the result store: only the driver of a study does, one transaction for each result."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from policypress.engine.cells.cell import Cell, canonical_json
from policypress.engine.store.lock import DriverLock
from policypress.engine.store.reader import AgentRow, Status, StoreReader
from policypress.engine.store.schema import connect, explained, transaction
from policypress.engine.tasks.prepared_agent import PreparedAgent
from policypress.engine.tasks.task import Failure
from policypress.records import ArtifactRecord, EpisodeRecord, Measurement
from policypress_runtime.atomic_write import sweep_partial
from policypress_runtime.errors import OutputError, StoreError
from policypress_runtime.foreign_text import plain, plain_lines


def tolerant_json(value: object) -> str:
    """JSON text of what others wrote (a training configuration, a machine): never refuses.

    Numbers that are not finite and objects without a JSON form become strings.

    >>> tolerant_json({"clip": float("inf"), "n": 2})
    '{"clip":"inf","n":2}'
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)


def _native(value: object) -> object:
    """``value``, as a number of Python if it is one of numpy's, which SQLite does not take."""
    return value.item() if isinstance(value, np.generic) else value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Store(StoreReader):
    """The result store ``path``, open for the one driver; made if it is not there.

    Raises:
        StoreError: another driver has it, or it is damaged or of a newer schema.
        OutputError: it cannot be written; also from every method, when the disk is full. What was
            committed before stays.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError("The output folder cannot be made.", got=str(error)) from error
        self._lock = DriverLock(path.with_name(path.name + ".lock"))
        try:
            super().__init__(path)
            sweep_partial(path.parent)
        except BaseException:
            self._lock.release()
            raise

    def _connect(self) -> sqlite3.Connection:
        return connect(self.path, write=True)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with explained(self.path), transaction(self._connection):
            yield self._connection

    def set_note(self, name: str, value: str) -> None:
        """Tell the store something about itself: the study it belongs to."""
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def add_agent(self, agent: AgentRow) -> None:
        """Record a parent agent; the same one again replaces what was said of it."""
        environment = None if agent.environment is None else agent.environment.to_json()
        values = (
            agent.sha256,
            plain(agent.source),  # a file's name may be bytes that are no text
            agent.algorithm,
            tolerant_json(environment),
            agent.library_version,
            tolerant_json(agent.training),
            tolerant_json([plain_lines(notice) for notice in agent.notices]),
        )
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO agents VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def plan(self, cells: Iterable[Cell]) -> None:
        """Add the cells that are not there yet, as pending."""
        now = _now()
        with self._writing() as connection:
            for cell in cells:
                connection.execute(
                    "INSERT INTO cells (key, kind, agent_sha256, environment_json, recipe, recipe_hash, "
                    "recipe_json, protocol_json, method_versions_json, inputs_json, status, created_at, updated_at, "
                    "provenance_json) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?, '[]') "
                    "ON CONFLICT (key) DO NOTHING",
                    (*_columns(cell), now, now),
                )

    def release_running(self) -> None:
        """Set cells that a driver left in the middle back to pending."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE cells SET status = 'pending', updated_at = ? WHERE status = 'running'", (_now(),)
            )

    def start(self, key: str, provenance: Mapping[str, Any]) -> None:
        """The cell is being worked on, with ``provenance``."""
        row = self.cell(key)
        if row is None:
            raise StoreError("A cell was started that is not in the store.", got=key, expected="a planned cell")
        known = list(row.provenance)
        if not known or tolerant_json(known[-1]) != tolerant_json(provenance):
            known.append(provenance)
        with self._writing() as connection:
            connection.execute("UPDATE cells SET provenance_json = ? WHERE key = ?", (tolerant_json(known), key))
            _set_status(connection, key, "running")

    def fail(self, key: str, failure: Failure) -> None:
        """The cell failed; its episodes so far stay."""
        with self._writing() as connection:
            _set_status(connection, key, "failed", failure)

    def reopen(self, key: str) -> None:
        """Set a cell back to pending, to be worked on again; what it has stays."""
        with self._writing() as connection:
            _set_status(connection, key, "pending")

    def record_artifact(self, key: str, record: ArtifactRecord, files: Mapping[str, str]) -> None:
        """What was built for the cell.

        Episodes of an artifact with another sha256 go: they were played by something else.

        Args:
            key: of the cell.
            record: with its path relative to :attr:`folder`.
            files: path, relative to :attr:`folder`, → sha256 of every file of the artifact.
        """
        names = [field.name for field in fields(record) if field.name != "notices"]
        values = [_native(getattr(record, name)) for name in names]
        columns = ", ".join(["cell_key", *names, "notices_json", "files_json"])
        marks = ", ".join("?" * (len(names) + 3))
        with self._writing() as connection:
            connection.execute(
                "DELETE FROM episodes WHERE cell_key = ? AND NOT EXISTS "
                "(SELECT 1 FROM artifacts WHERE artifacts.cell_key = episodes.cell_key AND sha256 = ?)",
                (key, record.sha256),
            )
            connection.execute(
                f"INSERT OR REPLACE INTO artifacts ({columns}) VALUES ({marks})",
                (key, *values, tolerant_json(record.notices), tolerant_json(files)),
            )

    def record_prepared(self, cell: Cell, prepared: PreparedAgent, files: Mapping[str, str]) -> None:
        """An agent that is ready; ``files``: path relative to :attr:`folder` → sha256."""
        values = (
            cell.key,
            cell.agent_sha256,
            tolerant_json(files),
            tolerant_json(prepared.training),
            tolerant_json(prepared.notices),
        )
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO prepared VALUES (?, ?, ?, ?, ?)", values)

    def record_episodes(self, key: str, episodes: Sequence[EpisodeRecord], *, done: bool) -> None:
        """Add episodes to the cell; ``done`` when they were the last ones.

        Raises:
            StoreError: the cell has an episode of one of these seeds already.
        """
        with self._writing() as connection:
            _insert_episodes(connection, key, episodes)
            if done:
                _set_status(connection, key, "done")

    def record_told(self, told: Mapping[str, Sequence[EpisodeRecord]]) -> None:
        """Add episodes of several cells, key → episodes, that were played elsewhere: all of them, or none.

        Raises:
            StoreError: a cell has an episode of one of these seeds already.
        """
        with self._writing() as connection:
            for key, episodes in told.items():
                _insert_episodes(connection, key, episodes)

    def finish(self, key: str) -> None:
        """The cell has all it should have."""
        with self._writing() as connection:
            _set_status(connection, key, "done")

    def record_measurements(self, key: str, measurements: Sequence[Measurement]) -> None:
        """Add cost measurements to the cell.

        One of the same quantity, source, protocol, machine and seed is replaced, so that a measurement
        that is repeated after an interruption does not stand there twice.
        """
        with self._writing() as connection:
            for measurement in measurements:
                identity = (
                    key,
                    measurement.quantity,
                    measurement.source,
                    tolerant_json(measurement.protocol),
                    tolerant_json(measurement.machine),
                    measurement.seed,
                )
                connection.execute(
                    "DELETE FROM measurements WHERE cell_key = ? AND quantity = ? AND source = ? "
                    "AND protocol_json = ? AND machine_json = ? AND seed IS ?",
                    identity,
                )
                _insert_measurement(connection, key, measurement)

    def replace_measurements(self, measurements: Mapping[str, Sequence[Measurement]]) -> None:
        """Put what was measured together, key of the cell → measurements, in the place of these cells' earlier ones.

        Of the quantities that are given, the cells keep nothing older; all of it is there, or nothing.
        """
        with self._writing() as connection:
            for key, rows in measurements.items():
                for quantity in {row.quantity for row in rows}:
                    connection.execute("DELETE FROM measurements WHERE cell_key = ? AND quantity = ?", (key, quantity))
                for row in rows:
                    _insert_measurement(connection, key, row)

    def record_costs(self, measured: Mapping[str, Sequence[Measurement]], failed: Mapping[str, Failure]) -> None:
        """What was measured together for cost cells, in the place of what they had, and why some have nothing.

        All of it is there, or nothing.
        """
        with self._writing() as connection:
            for key, rows in measured.items():
                connection.execute("DELETE FROM measurements WHERE cell_key = ?", (key,))
                for row in rows:
                    _insert_measurement(connection, key, row)
                _set_status(connection, key, "done")
            for key, failure in failed.items():
                connection.execute("DELETE FROM measurements WHERE cell_key = ?", (key,))
                _set_status(connection, key, "failed", failure)

    def close(self) -> None:
        """Close the file and let the next driver in."""
        super().close()
        self._lock.release()

    def __enter__(self) -> Store:
        """The store itself."""
        return self


def _insert_episodes(connection: sqlite3.Connection, key: str, episodes: Sequence[EpisodeRecord]) -> None:
    connection.executemany(
        "INSERT INTO episodes (cell_key, seed, episode_return, length, ending, cpu_s, fell) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(key, *map(_native, astuple(episode))) for episode in episodes],
    )


def _insert_measurement(connection: sqlite3.Connection, key: str, measurement: Measurement) -> None:
    values = (
        key,
        measurement.quantity,
        measurement.unit,
        measurement.source,
        canonical_json(measurement.samples),
        tolerant_json(measurement.protocol),
        tolerant_json(measurement.machine),
        measurement.seed,
        measurement.version,
    )
    connection.execute(
        "INSERT INTO measurements (cell_key, quantity, unit, source, samples_json, protocol_json, machine_json, seed, "
        "version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        values,
    )


def _columns(cell: Cell) -> tuple[object, ...]:
    environment = None if cell.environment is None else cell.environment.to_json()
    return (
        cell.key,
        cell.kind,
        cell.agent_sha256,
        canonical_json(environment),
        cell.recipe,
        cell.recipe_hash,
        canonical_json(dict(cell.recipe_json)),
        canonical_json(cell.protocol.to_json()),
        canonical_json(dict(cell.method_versions)),
        canonical_json(dict(cell.inputs)),
    )


def _set_status(connection: sqlite3.Connection, key: str, status: Status, failure: Failure | None = None) -> None:
    error = (None, None, None) if failure is None else (failure.kind, failure.message, failure.traceback)
    connection.execute(
        "UPDATE cells SET status = ?, error_kind = ?, error = ?, error_traceback = ?, updated_at = ? WHERE key = ?",
        (status, *error, _now(), key),
    )
