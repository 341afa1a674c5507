"""``docs/store.md`` names every table and column, and its examples run."""

from __future__ import annotations

import importlib.util
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from synthetic_study import SyntheticWorker, grid

from policypress.engine.executors.debug_executor import DebugExecutor
from policypress.engine.plan import Plan
from policypress.engine.scheduler import run_cells
from policypress.engine.store.schema import connect
from policypress.engine.store.store import Store

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "store.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def documented() -> dict[str, list[str]]:
    """Table → columns, from the headings and the first column of the table below each."""
    tables = {}
    for section in TEXT.split("\n## ")[1:]:
        name, body = section.split("\n", 1)
        cells = re.findall(r"^\| (`.*?) \|", body, re.MULTILINE)
        tables[name] = [column for cell in cells for column in re.findall(r"`([^`]+)`", cell)]
    return tables


def test_tables_and_columns_are_those_of_the_schema(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "study.db", write=True)) as connection:
        names = [row["name"] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {name: [row["name"] for row in connection.execute(f"PRAGMA table_info({name})")] for name in names}
    written = documented()
    assert found.keys() == written.keys() - {"Other files in the folder"}
    for name, columns in found.items():
        assert sorted(written[name]) == sorted(columns)


@pytest.mark.parametrize("example", EXAMPLES, ids=["pandas", "sqlite3", "reader"])
def test_examples_run(
    tmp_path: Path, example: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "pandas" in example and importlib.util.find_spec("pandas") is None:
        pytest.skip("pandas is not installed")
    with Store(tmp_path / "study.db") as store:
        run_cells(Plan(tuple(grid())), SyntheticWorker(), store, DebugExecutor())
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    opened: list[sqlite3.Connection] = []
    plain = sqlite3.connect

    def kept(*arguments: object, **options: object) -> sqlite3.Connection:
        opened.append(plain(*arguments, **options))  # type: ignore[arg-type]
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", kept)
    exec(example, names)
    for connection in opened:
        connection.close()
    output = capsys.readouterr().out
    if "pandas" in example:
        frame = names["frame"]
        assert len(frame) == 12 * len(grid())  # type: ignore[arg-type]
    else:
        assert "prune(l1,0.3)" in output
        assert "12" in output
