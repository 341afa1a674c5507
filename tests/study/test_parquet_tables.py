"""A store as Parquet files: pandas and DuckDB read in them what the store says."""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from test_flat_results import COST, fill

from policypress.study import parquet_tables
from policypress.study.flat_results import FlatResult, flat_results
from policypress.study.parquet_tables import write_tables
from policypress_runtime.errors import MissingDependencyError, OutputError

pandas = pytest.importorskip("pandas", reason="pandas is not installed")
duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    with fill(folder / "study.db") as store:
        files = write_tables(store, folder / "out")
        assert sorted(files) == sorted((folder / "out").iterdir())
        assert {path.stem for path in files} == {*store.tables(), "results"}
    return folder


def test_pandas_reads_every_table_as_the_store_has_it(folder: Path) -> None:
    with fill(folder / "again" / "study.db") as store:
        for table, columns in store.tables().items():
            frame = pandas.read_parquet(folder / "out" / f"{table}.parquet")
            names = ["samples" if name == "samples_json" else name for name in columns]
            assert list(frame.columns) == names
            assert len(frame) == len(list(store.rows_of(table)))
        flat = list(flat_results(store))
    results = pandas.read_parquet(folder / "out" / "results.parquet")
    assert list(results.columns) == [field.name for field in fields(FlatResult)]
    assert list(results.cell_key) == [result.cell_key for result in flat]
    means = [None if pandas.isna(value) else value for value in results.return_mean]
    assert means == [result.return_mean for result in flat]


def test_duckdb_joins_the_tables(folder: Path) -> None:
    cells, episodes, measurements, results = (
        f"'{folder}/out/{table}.parquet'" for table in ("cells", "episodes", "measurements", "results")
    )
    with duckdb.connect() as connection:
        means = connection.execute(
            f"SELECT recipe, count(*), avg(episode_return) FROM {cells} JOIN {episodes} ON cell_key = key "
            "WHERE status = 'done' AND kind <> 'random' GROUP BY recipe ORDER BY recipe"
        ).fetchall()
        flat = connection.execute(
            f"SELECT recipe, episodes, return_mean FROM {results} "
            "WHERE episodes > 0 AND kind <> 'random' ORDER BY recipe"
        ).fetchall()
        latency = connection.execute(
            f"SELECT list_sort(samples) FROM {measurements} WHERE cell_key = ? AND protocol_json->>'cache' = 'warm'",
            [COST.key],
        ).fetchall()
    assert [row[:2] for row in means] == [row[:2] for row in flat]
    assert [row[2] for row in means] == pytest.approx([row[2] for row in flat])
    assert latency == [([1.0, 2.0, 3.0],)]


def test_large_tables_are_written_in_groups(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_tables, "_ROWS", 7)
    with fill(tmp_path / "study.db") as store:
        write_tables(store, tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        grouped, whole = pandas.read_parquet(path), pandas.read_parquet(folder / "out" / path.name)
        assert grouped.shape == whole.shape


def test_an_empty_store_gives_empty_tables(tmp_path: Path) -> None:
    from policypress.engine.store.store import Store

    with Store(tmp_path / "study.db") as store:
        write_tables(store, tmp_path / "out")
    assert len(pandas.read_parquet(tmp_path / "out" / "results.parquet")) == 0


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with fill(tmp_path / "study.db") as store, pytest.raises(MissingDependencyError, match=r"policypress\[parquet\]"):
        write_tables(store, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with fill(tmp_path / "study.db") as store, pytest.raises(OutputError):
        write_tables(store, tmp_path / "out")


def test_the_examples_of_the_documentation_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "studies.md").read_text(encoding="utf-8")
    shutil.copytree(folder / "out", tmp_path / "tables")
    monkeypatch.chdir(tmp_path)
    python = next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "results.parquet" in block)
    exec(python, {})
    assert "Synthetic-v0" in capsys.readouterr().out
    query = next(block for block in re.findall(r"```sql\n(.*?)```", text, re.DOTALL) if "results.parquet" in block)
    with duckdb.connect() as connection:
        assert connection.execute(query).fetchall() == [("ptdq", "native", 2.0)]
