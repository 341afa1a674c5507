"""Tables as LaTeX: balanced, escaped, as many cells as columns."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policypress.report.studies.latex import escaped, tabular
from policypress_lu2024.latex import latex_tables
from policypress_lu2024.study_report import StudyReport


def rows_of(source: str) -> list[list[str]]:
    return [re.split(r"(?<!\\)&", line) for line in source.splitlines() if line.endswith(r" \\")]


def test_every_table_is_a_tabular_with_rows_of_one_width(whole: StudyReport) -> None:
    tables = latex_tables(whole)
    assert list(tables) == ["table-1-quantization", "table-2-pruning", "table-3-best-pruning", "aggregates"]
    for source in tables.values():
        columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", source)
        assert columns is not None
        assert {len(row) for row in rows_of(source)} == {len(columns[1])}
        assert source.endswith("\\end{tabular}\n")


def test_numbers_with_intervals_seeds_and_the_papers(whole: StudyReport) -> None:
    row = rows_of(latex_tables(whole)["table-1-quantization"])[1]
    assert row[:2] == ["PPO ", " HalfCheetah "]
    assert re.fullmatch(r" \\textbf\{\d+ \$\\pm\$ \d+ \(3\)\} \[1508.82\] ", row[3])
    assert rows_of(latex_tables(whole)["table-3-best-pruning"])[1][2:] == [r" L2 30\,\% ", r" L1 10\,\% \\"]


def test_a_baseline_that_has_not_learned_has_a_dagger(report: Callable[..., StudyReport]) -> None:
    found = report(share=lambda *about: 0.001, spread=0.0001, recipes=("none", "ptdq"), qat=False)
    source = latex_tables(found)["table-1-quantization"]
    assert r"HalfCheetah$^\dagger$" in source
    assert " & -- [1482.4] & " in source


def test_runtimes_have_tables_of_their_own(report: Callable[..., StudyReport]) -> None:
    found = report(runtimes=("onnxruntime", "native"), recipes=("none", "ptdq"), qat=False, seeds=1)
    assert {"table-1-quantization-native", "aggregates-onnxruntime"} <= set(latex_tables(found))


@given(st.text())
def test_escaped_text_starts_no_command_and_ends_no_cell(text: str) -> None:
    found = escaped(text)
    bare = re.sub(r"\\(text\w+\{\}|[&%$#_{}])|\$(\\pm|-)\$", "", found)
    assert not set(bare) & set("\\&%$#_{}~^")


@pytest.mark.parametrize(
    "text", ["[1cm]", " [1cm]", "*x", "\\input{/etc/passwd}", "a\nb", "a%\r\n\\end{tabular}", "\x1b|"]
)
def test_cells_of_files_stay_cells(text: str) -> None:
    lines = tabular(("a", "b"), [(escaped(text), "1"), (escaped(text), "2")], [text]).splitlines()
    rows = [line for line in lines if line.endswith(r" & 1 \\") or line.endswith(r" & 2 \\")]
    assert len(rows) == 2
    assert not any(row.lstrip().startswith(("[", "*", "\\input", "\\end")) for row in rows)
    assert [line for line in lines if line.startswith("\\")] == [
        r"\begin{tabular}{ll}",
        *[r"\hline"] * 3,
        r"\end{tabular}",
    ] or rows[0].startswith("\\text")
    assert "\x1b" not in "".join(lines)


def test_notes_are_comments() -> None:
    assert tabular(("a", "b"), [("1", "2")], ["one\ntwo"]).startswith("% one\n% two\n\\begin{tabular}{ll}")
