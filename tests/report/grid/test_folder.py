"""The folder of the general report: page, data, tables and figures; text is text, and half-empty tables fold away."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from chosen_study import make

from policypress.engine.store.reader import STORE_NAME, StoreReader
from policypress.report.grid.charts import grid_figures
from policypress.report.grid.files import latex_tables, sheets
from policypress.report.grid.folder import write_report
from policypress.report.grid.page import filters, render
from policypress.report.grid.report import GridReport
from policypress.study.spec_header import SpecHeader

Read = Callable[..., GridReport]
HOSTILE = '"><img src=x onerror=alert(1)>&{}\\_%'


def page_of(report: GridReport) -> str:
    return render(report, (), ("report.json",))


def test_every_file_is_written_and_named(tmp_path: Path) -> None:
    make(tmp_path / STORE_NAME, given=0, runtimes=("onnxruntime", "native"))
    out = tmp_path / "out"
    (out / "figures").mkdir(parents=True)
    stale = out / "figures" / "probability-of-improvement.svg"
    stale.write_text("of an earlier run")
    study = SpecHeader("synthetic", "grid", tmp_path / "synthetic.yml", {"description": "a <test>"})
    with StoreReader(tmp_path / STORE_NAME) as store:
        files: Sequence[Path] = write_report(store, study, out)
    assert files[0] == out / "report.html"
    assert set(files) == {path for path in out.rglob("*") if path.is_file()}
    names = {str(path.relative_to(out)) for path in files}
    assert {"report.json", "tables/agents.csv", "tables/recipes.csv", "tables/agents-native.tex"} <= names
    assert {f"figures/{name}.png" for name in ("return-against-size", "return-kept")} <= names
    assert stale.read_text() != "of an earlier run"
    page = files[0].read_text(encoding="utf-8")
    assert "a &lt;test&gt;" in page
    assert not re.search(r'(?:src|href)="https?:', page)
    anchors, ids = set(re.findall(r'href="#([^"]+)"', page)), re.findall(r'\bid="([^"]+)"', page)
    assert anchors <= set(ids)
    assert len(ids) == len(set(ids))
    assert json.loads((out / "report.json").read_text())["study"] == "synthetic"


def test_the_answer_comes_first_and_progress_last_and_folded(read: Read) -> None:
    page = page_of(read())
    order = [page.index(f'id="{name}"') for name in ("answer", "recipes", "agents", "progress", "provenance")]
    assert order == sorted(order)
    assert re.search(r'<details class="panel fold">\s*<summary>\d+ of \d+ cells are done', page)


def test_columns_without_a_number_fold_away(read: Read) -> None:
    with_costs, without = page_of(read()), page_of(read(costs=False))
    assert 'data-label="time of an action"' in with_costs
    assert 'data-label="time of an action"' not in without
    assert "Latency, memory and energy are not measured" in without
    assert "a study measures them where its file says “costs: true”" in without


def test_a_recipe_that_failed_says_so(read: Read) -> None:
    page = page_of(read(failed=("ptsq",)))
    assert "failed with 2 of 2" in page
    assert "size: not known" in page


def test_a_single_agent_has_no_table_over_agents(read: Read) -> None:
    assert 'id="recipes"' not in page_of(read(given=0))
    assert 'id="recipes"' in page_of(read(given=1))


def test_modelled_energy_is_marked_everywhere(read: Read) -> None:
    report = read()
    assert '<span class="note">modelled</span>' in page_of(report)
    assert "Modelled from CPU time, not measured: energy of an action." in latex_tables(report)["agents"]
    (agents, *_rest) = sheets(report)
    rows = list(csv.DictReader(agents.csv().splitlines()))
    assert {row["energy_per_action_source"] for row in rows} == {"modelled"}


def test_tables_have_a_row_for_each_agent_and_recipe(read: Read) -> None:
    agents, recipes, _improvements = sheets(read())
    assert len(agents.rows) == 2 * 5
    assert len(recipes.rows) == 4
    rows = {(row["agent"], row["recipe"]): row for row in csv.DictReader(agents.csv().splitlines())}
    assert rows["PPO Hopper-v4", "ptsq"]["keeping"] == "loses"
    assert rows["PPO Hopper-v4", "ptsq"]["dominated_by"] == "prune(l2, 0.5) > int8; int8"


def test_text_of_files_is_text(read: Read) -> None:
    report = read(given=2, source=f"arm-{HOSTILE}.zip")
    page = page_of(report)
    assert "<img src=x" not in page
    assert "&gt;&lt;img src=x" in page
    tables = latex_tables(report)
    assert r"\&\{\}\textbackslash{}\_\%" in "".join(tables.values())
    assert "<img src=x" not in "".join(figure.svg() for figure in grid_figures(report))


def test_filters_are_of_what_there_is_a_choice_of(read: Read) -> None:
    assert [group["name"] for group in filters(read())] == ["algorithm", "environment", "method"]
    assert [group["name"] for group in filters(read(given=0))] == ["method"]


@pytest.mark.parametrize("options", [{"seeds": 0, "given": 0}, {"left": ("none", "int8", "ptsq")}, {"level": 1.0}])
def test_studies_that_say_little_have_a_page(read: Read, options: dict[str, object]) -> None:
    report = read(**options)
    assert "What was run" in page_of(report)
    assert report.to_text()
    assert latex_tables(report) is not None


def test_it_does_without_torch() -> None:
    code = "import sys, policypress.report.grid.folder; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
