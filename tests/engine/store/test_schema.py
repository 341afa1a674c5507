from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_study import SyntheticWorker, baseline, grid

from policypress.engine.cells.cell import Cell
from policypress.engine.executors.debug_executor import DebugExecutor
from policypress.engine.plan import Plan
from policypress.engine.scheduler import run_cells
from policypress.engine.store import schema
from policypress.engine.store.reader import AgentRow, StoreReader
from policypress.engine.store.schema import RESTORE, SCHEMA_VERSION, columns, connect, explained, transaction
from policypress.engine.store.store import Store
from policypress.engine.tasks.prepared_agent import PreparedAgent
from policypress.records import ArtifactRecord, EpisodeRecord, EvaluationProtocol, Measurement
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import OutputError, StoreError


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {row["name"] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_writing_makes_the_tables_and_reading_finds_them(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    connect(path, write=True).close()
    reader = connect(path, write=False)
    assert _tables(reader) == {"meta", "agents", "cells", "artifacts", "episodes", "measurements", "prepared"}
    assert reader.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM cells")
    reader.close()


def test_reading_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no result store"):
        connect(tmp_path / "study.db", write=False)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_taken_for_a_new_store(tmp_path: Path) -> None:
    """A driver killed before its first transaction leaves one."""
    path = tmp_path / "study.db"
    path.touch()
    with pytest.raises(StoreError, match="schema 0"):
        connect(path, write=False)
    connection = connect(path, write=True)
    assert "cells" in _tables(connection)
    connection.close()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    connection = connect(path, write=True)
    connection.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", (str(SCHEMA_VERSION + 1),))
    connection.close()
    for write in (True, False):
        with pytest.raises(StoreError, match="newer policypress"):
            connect(path, write=write)


def test_an_older_schema_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "study.db"
    connect(path, write=True).close()
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("ALTER TABLE cells ADD COLUMN note TEXT",)))
    monkeypatch.setattr(schema, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    monkeypatch.setattr(schema, "OLDEST_READABLE", SCHEMA_VERSION + 1)
    with pytest.raises(StoreError, match="an older schema"):
        connect(path, write=False)
    for _ in range(2):
        connection = connect(path, write=True)
        assert "note" in {row["name"] for row in connection.execute("PRAGMA table_info(cells)")}
        connection.close()


@pytest.mark.parametrize("version", [2, 3])
def test_earlier_schemas_are_read_as_they_are_and_brought_up_to_date_by_a_driver(tmp_path: Path, version: int) -> None:
    """A driver of the earlier version may still be at work on it."""
    path = tmp_path / "study.db"
    with Store(path) as store:
        run_cells(Plan(tuple(grid())), SyntheticWorker(), store, DebugExecutor())
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("ALTER TABLE episodes DROP COLUMN fell")
        connection.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", (str(version),))
    with StoreReader(path) as reader:
        before = [(row, reader.artifact(row.key), reader.episodes(row.key)) for row in reader.cells()]
    with Store(path) as store:
        assert [(row, store.artifact(row.key), store.episodes(row.key)) for row in store.cells()] == before
        cost = replace(baseline(), kind="cost", protocol=EvaluationProtocol(0))
        store.plan([cost])
        assert store.cells()[-1].cell == cost


@pytest.mark.parametrize("write", [True, False])
@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to look at" * 40, b"SQLite format 3\0" + b"\7" * 4096]
)
def test_what_is_no_database_is_refused(tmp_path: Path, content: bytes, write: bool) -> None:
    path = tmp_path / "study.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged, or this is not a result store"):
        connect(path, write=write)
    assert path.read_bytes() == content


def test_a_damaged_page_is_found(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    connection = connect(path, write=True)
    with transaction(connection):
        for number in range(2000):
            connection.execute("INSERT INTO meta VALUES (?, 'x')", (f"name {number}",))
    connection.close()
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 8192] = b"\xff" * 8192
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        connect(path, write=True)


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE songs (title TEXT)")
    other.close()
    with pytest.raises(StoreError, match="songs"):
        connect(path, write=True)


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be opened"):
        connect(tmp_path, write=True)


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    connection = connect(tmp_path / "study.db", write=True)
    with pytest.raises(sqlite3.IntegrityError), transaction(connection):
        connection.executemany("INSERT INTO meta VALUES (?, 'x')", [("a",), ("b",), ("a",)])
    assert connection.execute("SELECT count(*) FROM meta").fetchone()[0] == 1
    connection.close()


def test_a_full_disk_is_an_output_error(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    connection = connect(path, write=True)
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(OutputError, match="disk is full") as caught, explained(path), transaction(connection):
        connection.executemany("INSERT INTO meta VALUES (?, ?)", [(f"name {i}", "x" * 100) for i in range(1000)])
    assert "run the same command again" in str(caught.value)
    assert not connection.in_transaction
    assert connection.execute("SELECT count(*) FROM meta").fetchone()[0] == 1
    connection.close()


def test_a_foreign_writer_is_named_as_the_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "_BUSY_S", 0.05)
    path = tmp_path / "study.db"
    first, second = connect(path, write=True), connect(path, write=True)
    with transaction(first), pytest.raises(StoreError, match="Another program holds"), explained(path):
        second.execute("BEGIN IMMEDIATE")
    first.close()
    second.close()


def filled(folder: Path) -> Path:
    """A store with a row in every table."""
    with Store(folder / "study.db") as store:
        store.add_agent(AgentRow("a" * 64, "a.zip", "dqn", EnvironmentSpec("CartPole-v1"), "2.4", {"n": 1}, ("told",)))
        cell = Cell("baseline", EvaluationProtocol(1), EnvironmentSpec("CartPole-v1"), "a" * 64)
        store.plan([cell])
        store.start(cell.key, {"python": "3.11"})
        record = ArtifactRecord("none", "", "p.onnx", "b" * 64, 1, 1, 1, 1, 0.0, 0.0, None, 0.0, 0.1)
        store.record_artifact(cell.key, record, {"p.onnx": "b" * 64})
        store.record_prepared(cell, PreparedAgent({}, {"steps": 1}, ()), {"a.zip": "c" * 64})
        store.record_measurements(cell.key, [Measurement("latency", "s", (0.1,), {}, {})])
        store.record_episodes(cell.key, [EpisodeRecord(0, 1.0, 5, "terminated", 0.1)], done=True)
    return folder / "study.db"


TABLES = ("agents", "cells", "artifacts", "prepared", "episodes", "measurements")
WRONG = (None, b"\xff\xfe", 7, "text", "{", "[" * 3000, "{}", "[]", '[{"a": null}]', '{"a": [1]}', float("inf"), "null")


def read_everything(path: Path) -> None:
    with StoreReader(path) as store:
        store.agents(), store.counts(), store.trainings(), store.mean_episode_s(), store.mean_build_s()
        for row in store.cells():
            store.cell(row.key), store.artifact(row.key), store.artifact_files(row.key), store.prepared_files(row.key)
            store.episodes(row.key), store.seeds(row.key), store.measurements(row.key)
            row.cell.seeds()


def refusal_of(path: Path) -> str | None:
    try:
        read_everything(path)
    except StoreError as error:
        return str(error)
    return None


@pytest.mark.parametrize(("table", "column"), [(table, column) for table in TABLES for column in columns(table)])
def test_a_damaged_value_is_a_store_error_that_names_the_file(table: str, column: str, tmp_path: Path) -> None:
    path = filled(tmp_path)
    read_everything(path)
    whole = path.read_bytes()
    refused = 0
    for value in WRONG:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            try:
                connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
            except sqlite3.IntegrityError:
                continue  # SQLite itself refuses it
        said = refusal_of(path)
        assert said is None or (str(path) in said and RESTORE in said)
        refused += said is not None
        path.write_bytes(whole)
    read = column not in ("id", "position", "key", "cell_key") and (table, column) != ("prepared", "notices_json")
    assert refused > 0 or not read


@pytest.mark.parametrize("table", ["meta", *TABLES])
def test_a_missing_table_is_a_store_error(table: str, tmp_path: Path) -> None:
    path = filled(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(f"DROP TABLE {table}")
    with pytest.raises(StoreError, match=str(path)):
        read_everything(path)


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7])
def test_a_truncated_store_is_a_store_error(share: float, tmp_path: Path) -> None:
    path = filled(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(StoreError, match=str(path)):
        read_everything(path)
    with pytest.raises(StoreError), Store(path):
        pass
