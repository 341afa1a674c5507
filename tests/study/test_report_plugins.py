"""Kinds of report are found by entry points: the package's own, a plug-in's, and errors that lead somewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from policypress.engine.cells.cell import Cell
from policypress.engine.store.reader import STORE_NAME
from policypress.engine.store.store import Store
from policypress.records import EpisodeRecord, EvaluationProtocol
from policypress.report.grid.folder import write_report
from policypress.study import report_plugins
from policypress.study.report_plugins import GROUP, check_report, report_names, report_writer
from policypress.study.spec import spec_of
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import StudyInputError

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs" / "studies.md"
SPEC = {"policypress-study": 1, "name": "mine", "agents": [{"files": ["agent.zip"]}]}


def install(folder: Path, name: str, value: str) -> None:
    """What pip leaves of a distribution with one report."""
    info = folder / f"reports_of_{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: reports-of-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {value}\n")


def test_the_package_s_own_reports_are_installed() -> None:
    assert {"grid", "lu2024", "li2023"} <= set(report_names())
    for name in ("grid", "lu2024", "li2023"):
        assert callable(report_writer(name))


def test_an_unknown_report_is_told_with_those_there_are() -> None:
    with pytest.raises(StudyInputError, match="no such report") as raised:
        check_report("lu2042")
    assert "got: report: lu2042" in str(raised.value)
    assert all(name in str(raised.value) for name in report_names())
    with pytest.raises(StudyInputError, match=r"report: There is no such report.*lu2024.*got 'lu2042'"):
        spec_of({**SPEC, "report": "lu2042"})


def test_following_the_error_helps() -> None:
    with pytest.raises(StudyInputError) as raised:
        check_report("none-such")
    expected = re.search(r"expected: (.*)", str(raised.value))
    assert expected is not None
    for name in expected[1].split(", "):
        assert spec_of({**SPEC, "report": name}).report == name


def test_a_spec_without_a_report_is_stored_as_ever() -> None:
    assert spec_of(SPEC).model_dump(mode="json")["report"] == "grid"


def test_a_report_whose_module_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "gone", "a_module_that_is_gone:write")
    monkeypatch.syspath_prepend(tmp_path)
    check_report("gone")
    with pytest.raises(StudyInputError, match="cannot be loaded") as raised:
        report_writer("gone")
    told = str(raised.value)
    assert "report gone of reports-of-gone: a_module_that_is_gone:write: ModuleNotFoundError" in told
    assert "Install reports-of-gone again" in told


@pytest.mark.parametrize("value", ["policypress.records:nothing_there", "policypress.records:SCHEMA_OF_NOTHING.x"])
def test_a_report_that_its_module_does_not_have(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "absent", value)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(StudyInputError, match="AttributeError"):
        report_writer("absent")


def test_a_report_that_is_no_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "number", "policypress.study.spec:SPEC_VERSION")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(StudyInputError, match="no function"):
        report_writer("number")


def test_an_installation_older_than_its_reports_is_told_to_install_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_plugins, "entry_points", lambda group: ())
    with pytest.raises(StudyInputError, match="make install"):
        check_report("grid")


def test_the_plug_in_of_the_documentation(tmp_path: Path) -> None:
    text = DOCS.read_text(encoding="utf-8")
    code = re.search(r"```python\n(\"\"\"my_reports\.py.*?)```", text, re.S)
    entry = re.search(r'\[project\.entry-points\."policypress\.reports"\]\n(\w+) = "(.*)"', text)
    assert code is not None
    assert entry is not None
    plug_in = tmp_path / "site"
    install(plug_in, entry[1], entry[2])
    (plug_in / "my_reports.py").write_text(code[1])
    (tmp_path / "small.yml").write_text(json.dumps({**SPEC, "name": "small", "report": entry[1]}))
    store_of_two(tmp_path / "small" / STORE_NAME)
    written = report(tmp_path, plug_in)
    assert written.returncode == 0, written.stderr
    (path,) = json.loads(written.stdout)["files"]
    assert (tmp_path / path).read_text().splitlines() == [
        "recipe,runtime,mean_return",
        "none,onnxruntime,10.0",
        "ptdq,onnxruntime,8.0",
    ]
    without = report(tmp_path, tmp_path / "nowhere")
    assert without.returncode == 2
    assert "grid" in without.stderr
    assert "Traceback" not in without.stderr


def report(folder: Path, path: Path) -> subprocess.CompletedProcess[str]:
    """``policypress study report`` in a Python that finds what ``path`` holds."""
    command = [sys.executable, "-m", "policypress", "study", "report", "small.yml", "-o", "out", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(path)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def store_of_two(path: Path) -> None:
    """A baseline that returns 10 and a recipe that returns 8."""
    protocol = EvaluationProtocol(2, runtime="onnxruntime")
    with Store(path) as store:
        for recipe, kind, returned in (("none", "baseline", 10.0), ("ptdq", "variant", 8.0)):
            cell = Cell(kind, protocol, EnvironmentSpec("Synthetic-v0"), "agent", recipe, recipe, {})  # type: ignore[arg-type]
            store.plan([cell])
            store.start(cell.key, {})
            episodes = [EpisodeRecord(seed, returned, 9, "terminated", 0.1) for seed in cell.seeds()]
            store.record_episodes(cell.key, episodes, done=True)


def test_of_one_name_the_package_s_own_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(tmp_path, "grid", "a_module_that_is_gone:write")
    install(tmp_path, "twice", "a_module_that_is_gone:write")
    own = tmp_path / "policypress-9.0.dist-info"
    own.mkdir()
    (own / "METADATA").write_text("Metadata-Version: 2.1\nName: policypress\nVersion: 9.0\n")
    (own / "entry_points.txt").write_text(f"[{GROUP}]\ngrid = policypress.report.grid.folder:write_report\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert report_writer("grid") is write_report
    assert "twice" in report_names()


def test_the_general_report_is_entered_by_the_package() -> None:
    declared = tomllib.loads((ROOT / "packages" / "policypress" / "pyproject.toml").read_text(encoding="utf-8"))
    assert declared["project"]["entry-points"][GROUP] == {"grid": "policypress.report.grid.folder:write_report"}
