"""The report of a small database: every part of the page, data and tables that agree with it, no network."""

from __future__ import annotations

import csv
import html
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic_li import CARTPOLE, add_training, as_the_paper_says, ramp

from policypress.cli.commands import command
from policypress.engine.store.reader import StoreReader
from policypress.engine.store.store import Store
from policypress.study.spec_header import SpecHeader
from policypress_li2023.folder import DATA_NAME, PAGE_NAME, TABLE_NAME, write_report
from policypress_runtime.errors import StudyInputError


def written(store: StoreReader, folder: Path) -> Path:
    """The page of the report, when every file that it names is there."""
    page, *others = write_report(store, SpecHeader("small-li", "li2023", Path("small-li.yml"), {}), folder)
    assert page.name == PAGE_NAME
    assert {page, *others} == {path for path in folder.rglob("*") if path.is_file()}
    return page


def test_the_commands_are_of_the_file_that_was_run(tmp_path: Path) -> None:
    """Whatever the study in it is called; quoted for a shell, and commands that there are."""
    as_the_paper_says(tmp_path).close()
    with StoreReader(tmp_path / "study.db") as store:
        header = SpecHeader("small-li", "li2023", tmp_path / "my study.yml", {})
        page, *_ = write_report(store, header, tmp_path / "report")
    (shown,) = re.findall(r'id="made">.*?</h2>\s*<pre>(.*?)</pre>', page.read_text(encoding="utf-8"), re.DOTALL)
    lines = [shlex.split(html.unescape(line)) for line in shown.splitlines() if line.strip()]
    assert [words[:4] for words in lines] == [
        ["policypress", "study", part, "my study.yml"] for part in ("run", "report")
    ]
    known = command("study").commands
    for _, _, part, *arguments in lines:
        assert {word for word in arguments if word.startswith("-")} <= {
            option for parameter in known[part].params for option in parameter.opts
        }


def test_a_whole_report(tmp_path: Path) -> None:
    as_the_paper_says(tmp_path).close()
    with StoreReader(tmp_path / "study.db") as store:
        page = written(store, tmp_path / "report").read_text(encoding="utf-8")
    data = json.loads((tmp_path / "report" / DATA_NAME).read_text(encoding="utf-8"))
    assert data["missing"] == 1
    assert [task["environment"] for task in data["tasks"]] == ["CartPole", "LunarLander"]
    assert data["tasks"][0]["forms"]["fp32"]["evaluated"]["estimate"] == pytest.approx(196.0)
    assert len(data["tasks"][1]["forms"]["qat"]["trend"]["mean"]) == 700
    for finding in data["findings"]:
        assert f'id="{finding["name"]}"' in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    anchors = set(re.findall(r'href="#([^"]+)"', page))
    assert anchors <= set(ids)
    assert len([name for name in ids if name.startswith("trend-")]) == 2
    assert "1197" in page
    assert "not done yet: 1." in page
    assert (
        "Of the paper's 6 statements, 6 hold here." in page or "Of the paper&#39;s 6 statements, 6 hold here." in page
    )
    assert "Li 2023 &lt;published&gt;" in page
    assert not re.search(r'(?:src|href)="(?!#)', page)
    assert "figure 5" in page
    for name in ("trend-dqn-cartpole", "trend-dqn-lunarlander"):
        assert (tmp_path / "report" / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / "report" / "figures" / f"{name}.svg").read_text(encoding="utf-8")


def test_the_table_is_the_paper_s_beside_ours(tmp_path: Path) -> None:
    as_the_paper_says(tmp_path).close()
    with StoreReader(tmp_path / "study.db") as store:
        written(store, tmp_path / "report")
    with (tmp_path / "report" / TABLE_NAME).open(encoding="utf-8") as file:
        cartpole, lander = csv.DictReader(file)
    assert (cartpole["paper_before"], cartpole["paper_after"]) == ("1197", "1136")
    assert int(cartpole["fp32_peak_rss_bytes"]) == 400 * 2**20 + 2
    assert (cartpole["qat_networks_bytes"], cartpole["qat_deployed_bytes"]) == ("2048", "300")
    assert (lander["environment"], lander["qat_deployed_bytes"]) == ("LunarLander", "")


def test_a_study_that_has_hardly_begun(tmp_path: Path) -> None:
    with Store(tmp_path / "study.db") as store:
        add_training(store, CARTPOLE, 0, ramp(40), qat=False, done=False)
        page = written(store, tmp_path / "report").read_text(encoding="utf-8")
        assert page.count("No training is done yet.") == 2
        add_training(store, CARTPOLE, 1, ramp(40), qat=False)
        page = written(store, tmp_path / "report").read_text(encoding="utf-8")
    assert "fewer than three seeds have no interval" in page
    assert "No training is done yet." not in page


def test_a_study_of_given_agents_has_nothing_to_report(tmp_path: Path) -> None:
    with Store(tmp_path / "study.db") as store, pytest.raises(StudyInputError, match="trains nothing"):
        written(store, tmp_path / "report")


def test_it_does_without_torch() -> None:
    code = "import sys, policypress_li2023.folder; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
