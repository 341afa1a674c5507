"""The folder of a study's report, through the command line as users make it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import command_line
from policypress.engine.store.reader import StoreReader
from policypress.study.spec_header import SpecHeader
from policypress_lu2024 import folder as folder_module
from policypress_lu2024.folder import write_data
from policypress_lu2024.study_report import StudyReport

SPEC = "policypress-study: 1\nname: synthetic\nreport: lu2024\nagents: [{files: [agent.zip]}]\n"


def study_report(spec: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return command_line.run("study", "report", spec, "-o", folder, "--json")


@pytest.fixture
def spec(grid: Callable[..., Path], tmp_path: Path) -> Path:
    """A study file beside the results of a small grid."""
    grid(algorithms=("ppo",), environments=("Hopper-v4",), seeds=1, recipes=("none", "ptdq"), qat=False)
    path = tmp_path / "synthetic.yml"
    path.write_text(SPEC)
    return path


def test_the_command_writes_page_data_tables_and_figures(spec: Path, tmp_path: Path) -> None:
    run = study_report(spec, tmp_path / "out")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["page"] == str(tmp_path / "out" / "report.html")
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {"report.html", "report.json", "tables/variants.csv", "tables/table-1-quantization.tex"} <= written
    data = json.loads((tmp_path / "out" / "report.json").read_text())
    assert data["provenance"]["commands"][1] == "policypress study report synthetic.yml -o DIR"
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'href="tables/variants.csv"' in page


def test_recipes_that_are_none_of_the_papers_are_shown(grid: Callable[..., Path], tmp_path: Path) -> None:
    recipes = ("none", "equalize > int8", "prune(l2, 0.5) > refit > int8")
    path = grid(
        algorithms=("dqn",),
        environments=("CartPole-v1",),
        seeds=2,
        recipes=recipes,
        qat=False,
        share=lambda *about: 1.0,
        with_costs=True,
    )
    with StoreReader(path) as store:
        study = SpecHeader("synthetic", "lu2024", tmp_path / "synthetic.yml", {})
        files = folder_module.write_report(store, study, tmp_path / "out")
    page = files[0].read_text()
    assert set(files) == {path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert "equalize &gt; int8" in page
    assert "CartPole" in page


def test_the_command_loads_no_torch(spec: Path, tmp_path: Path) -> None:
    arguments = ["policypress", "study", "report", str(spec), "-o", str(tmp_path / "out")]
    code = (
        f"import sys\nsys.argv = {arguments!r}\nfrom policypress.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    print(ended.code or 0)\n"
        "print(*{'torch', 'torch_pruning', 'stable_baselines3'} & set(sys.modules))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert run.stdout.splitlines()[1:] == ["0", ""], run.stderr


def test_a_study_without_results_is_an_error_of_one_message(tmp_path: Path) -> None:
    spec = tmp_path / "empty.yml"
    spec.write_text(SPEC.replace("synthetic", "nothing-was-run"))
    run = study_report(spec, tmp_path / "out")
    assert run.returncode == 2
    assert "policypress study run" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "out").exists()


def test_every_file_is_named_and_written(whole: StudyReport, tmp_path: Path) -> None:
    names = write_data(whole, tmp_path)
    assert names[0] == folder_module.DATA_NAME
    assert sorted(names) == sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
