"""The tables of the result store, their versions, and what SQLite's errors mean to a user.

``docs/store.md`` describes every column; a test keeps the two together.
"""

from __future__ import annotations

import functools
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from policypress_runtime.errors import OutputError, PolicypressError, StoreError

_BUSY_S = 60.0
_WORDS = 120
RESTORE = "Restore a copy, or choose another output folder."
_PYTHON: dict[str, tuple[type, ...]] = {"TEXT": (str,), "INTEGER": (int,), "REAL": (float, int)}
_CHOICES = {
    "kind": ("baseline", "variant", "random", "agent", "cost"),
    "status": ("pending", "running", "done", "failed"),
    "ending": ("terminated", "truncated", "step_limit"),
}
_SOURCES = ("measured", "modelled")
_LISTS: dict[str, tuple[type, ...]] = {"notices_json": (str,), "provenance_json": (dict,), "samples_json": (float, int)}
_NUMBERED: dict[str, tuple[type, ...]] = {"files_json": (str,), "method_versions_json": (int,)}

_VERSION_1 = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE agents (
        sha256 TEXT PRIMARY KEY,
        source TEXT NOT NULL,
        algorithm TEXT NOT NULL,
        environment_json TEXT NOT NULL,
        library_version TEXT,
        training_json TEXT NOT NULL,
        notices_json TEXT NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE cells (
        position INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL CHECK (kind IN ('baseline', 'variant', 'random')),
        agent_sha256 TEXT,
        environment_json TEXT NOT NULL,
        recipe TEXT NOT NULL,
        recipe_hash TEXT NOT NULL,
        recipe_json TEXT NOT NULL,
        protocol_json TEXT NOT NULL,
        method_versions_json TEXT NOT NULL,
        inputs_json TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'done', 'failed')),
        error_kind TEXT,
        error TEXT,
        error_traceback TEXT,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        provenance_json TEXT NOT NULL,
        CHECK ((status = 'failed') = (error IS NOT NULL))
    )""",
    """CREATE TABLE artifacts (
        cell_key TEXT PRIMARY KEY REFERENCES cells (key),
        recipe TEXT NOT NULL,
        recipe_hash TEXT NOT NULL,
        path TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        file_bytes INTEGER NOT NULL,
        packed_bytes INTEGER NOT NULL,
        parameters INTEGER NOT NULL,
        macs INTEGER NOT NULL,
        channel_ratio REAL NOT NULL,
        parameter_ratio REAL NOT NULL,
        action_error REAL,
        parity_max_error REAL NOT NULL,
        build_s REAL NOT NULL,
        notices_json TEXT NOT NULL,
        version INTEGER NOT NULL,
        files_json TEXT NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE episodes (
        cell_key TEXT NOT NULL REFERENCES cells (key),
        seed INTEGER NOT NULL,
        episode_return REAL NOT NULL,
        length INTEGER NOT NULL,
        ending TEXT NOT NULL CHECK (ending IN ('terminated', 'truncated', 'step_limit')),
        cpu_s REAL NOT NULL,
        PRIMARY KEY (cell_key, seed)
    ) WITHOUT ROWID""",
    """CREATE TABLE measurements (
        id INTEGER PRIMARY KEY,
        cell_key TEXT NOT NULL REFERENCES cells (key),
        quantity TEXT NOT NULL,
        unit TEXT NOT NULL,
        source TEXT NOT NULL CHECK (source IN ('measured', 'modelled')),
        samples_json TEXT NOT NULL,
        protocol_json TEXT NOT NULL,
        machine_json TEXT NOT NULL,
        seed INTEGER,
        version INTEGER NOT NULL
    )""",
    "CREATE INDEX measurements_by_cell ON measurements (cell_key, quantity)",
)
# Cells of agents: SQLite changes a CHECK only with its table.
_VERSION_2 = (
    _VERSION_1[2].replace("CREATE TABLE cells", "CREATE TABLE cells_2").replace("'random')", "'random', 'agent')"),
    "INSERT INTO cells_2 SELECT * FROM cells",
    "DROP TABLE cells",
    "ALTER TABLE cells_2 RENAME TO cells",
    """CREATE TABLE prepared (
        cell_key TEXT PRIMARY KEY REFERENCES cells (key),
        agent_sha256 TEXT NOT NULL,
        files_json TEXT NOT NULL,
        training_json TEXT NOT NULL,
        notices_json TEXT NOT NULL
    ) WITHOUT ROWID""",
    # Before there was a choice.
    "ALTER TABLE artifacts ADD COLUMN runtime TEXT NOT NULL DEFAULT 'onnxruntime'",
)
# Cells of costs.
_VERSION_3 = (
    _VERSION_2[0].replace("CREATE TABLE cells_2", "CREATE TABLE cells_3").replace("'agent')", "'agent', 'cost')"),
    "INSERT INTO cells_3 SELECT * FROM cells",
    "DROP TABLE cells",
    "ALTER TABLE cells_3 RENAME TO cells",
)
# Marks of falls, where a key of the environment's info says what one is.
_VERSION_4 = ("ALTER TABLE episodes ADD COLUMN fell INTEGER CHECK (fell IN (0, 1))",)
MIGRATIONS = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4)
"""Statements that lead from each version of the schema to the next, the first one from nothing."""
SCHEMA_VERSION = len(MIGRATIONS)
OLDEST_READABLE = 2
"""The oldest schema whose tables and columns are today's: it may be read while an older driver still writes it."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors about the store at ``path`` into ours.

    Raises:
        OutputError: the disk is full, or the file cannot be written.
        StoreError: anything else.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(error, path) from error
    except UnicodeDecodeError as error:
        raise StoreError(
            "The result store is damaged, or this is not a result store.",
            got=f"{path}: {error}",
            expected="an SQLite database that policypress wrote",
            hint="Restore a copy, or choose another output folder.",
        ) from error


def _explain(error: sqlite3.Error, path: Path) -> PolicypressError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    got = f"{path}: {error}"
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return OutputError(
            "The result store could not be written: the disk is full or failing.",
            got=got,
            hint="Free some space and run the same command again: what was finished is kept.",
        )
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return OutputError("The result store cannot be opened for this.", got=got, expected="a file with access to it")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(
            "Another program holds the result store.",
            got=got,
            hint="Close what is writing to it, then run the same command again.",
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreError(
            "The result store is damaged, or this is not a result store.",
            got=got,
            expected="an SQLite database that policypress wrote",
            hint=RESTORE,
        )
    return StoreError("The result store refused an operation.", got=f"{type(error).__name__}: {got}", hint=RESTORE)


def damaged(path: Path, where: str, why: str) -> StoreError:
    """The error for a row that no policypress wrote, or that was changed since."""
    return StoreError(
        "The result store holds a damaged row.",
        got=f"{path}: {where}: {' '.join(why.split())[:_WORDS]}",
        expected="rows as policypress writes them",
        hint=RESTORE,
    )


@functools.cache
def columns(table: str) -> dict[str, tuple[str, bool]]:
    """Column of ``table`` → its declared type, and whether it may be empty."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in (statement for statements in MIGRATIONS for statement in statements):
            connection.execute(statement)
        rows = connection.execute(f"PRAGMA table_info({table})").fetchall()
    return {name: (declared, not required and not primary) for _, name, declared, required, _, primary in rows}


def decoded(row: sqlite3.Row, table: str, path: Path) -> dict[str, Any]:
    """The values of a row of ``table`` (all columns, or some), JSON columns as what their text says.

    Raises:
        StoreError: a value has another type than its column, or its JSON is another than policypress writes.
    """
    found: dict[str, Any] = {}
    for name in row.keys():  # noqa: SIM118  # a row is no mapping
        value, where = row[name], f"table {table}, column {name}"
        declared, optional = columns(table)[name]
        if not (value is None and optional) and not isinstance(value, _PYTHON[declared]):
            raise damaged(path, where, f"{type(value).__name__} where {declared} belongs")
        choices = _SOURCES if (table, name) == ("measurements", "source") else _CHOICES.get(name)
        if choices is not None and value not in choices:
            raise damaged(path, where, f"{value!r}, not one of {', '.join(choices)}")
        if name.endswith("_json"):
            value = _json(str(value), name, where, path)
        found[name] = value
    return found


def _json(text: str, name: str, where: str, path: Path) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(path, where, f"no JSON: {error}") from error
    if name in _LISTS:
        fits = isinstance(value, list) and all(isinstance(item, _LISTS[name]) for item in value)
    elif name in _NUMBERED:
        fits = isinstance(value, dict) and all(isinstance(item, _NUMBERED[name]) for item in value.values())
    else:
        fits = isinstance(value, dict) or (value is None and name == "environment_json")
    if not fits:
        raise damaged(path, where, f"JSON of another form: {text[:_WORDS]}")
    return value


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """Open the store at ``path``; to write, make it or bring its schema up to date first.

    Raises:
        StoreError: it is damaged, of another or a newer schema, or (to read) not there.
        OutputError: it cannot be written.
    """
    if not write and not path.is_file():
        raise StoreError("There is no result store.", got=str(path), expected="the study.db of a study")
    with explained(path):
        mode = "rwc" if write else "ro"
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=_BUSY_S
        )
    try:
        with explained(path):
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA foreign_keys = ON")
            version = _version(connection, path)
            if write:
                _prepare(connection, path, version)
            elif version < OLDEST_READABLE:
                raise StoreError(
                    "The result store has an older schema.",
                    got=f"{path}: schema {version}",
                    expected=f"schema {SCHEMA_VERSION}",
                    hint="Run the study once with this version of policypress to bring it up to date.",
                )
    except BaseException:
        connection.close()
        raise
    return connection


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Schema version of the open store; 0 if nothing is in it yet."""
    tables = {row["name"] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return 0
    row = None
    if "meta" in tables:
        row = connection.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone()
    if row is None or not str(row["value"]).isdigit():
        raise StoreError(
            "This SQLite database is not a result store.",
            got=f"{path} with tables {', '.join(sorted(tables))}",
            expected="a study.db that policypress wrote",
        )
    version = int(row["value"])
    if version > SCHEMA_VERSION:
        raise StoreError(
            "The result store was written by a newer policypress.",
            got=f"{path}: schema {version}",
            expected=f"schema {SCHEMA_VERSION} or older",
            hint="Upgrade policypress.",
        )
    return version


def _prepare(connection: sqlite3.Connection, path: Path, version: int) -> None:
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise StoreError(
            "The result store is damaged.",
            got=f"{path}: {found}",
            hint=RESTORE,
        )
    connection.execute("PRAGMA journal_mode = WAL")
    # Survives the death of the process at any moment; after a power cut the last transactions may be
    # gone, never half there, and a resumed study does them again.
    connection.execute("PRAGMA synchronous = NORMAL")
    if version == SCHEMA_VERSION:
        return
    # A table that others refer to is replaced by one of its name; inside a transaction this cannot be said.
    connection.execute("PRAGMA foreign_keys = OFF")
    with transaction(connection):
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))
    connection.execute("PRAGMA foreign_keys = ON")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing of what happens inside."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # After some errors, a full disk among them, SQLite has rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
