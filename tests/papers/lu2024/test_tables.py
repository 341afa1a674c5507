"""Tables hold every cell, the paper's number beside it, and the reason where there is none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_study_report import make_report

from policypress.measurement.statistics import Interval
from policypress.report.studies.estimates import Estimate
from policypress.report.studies.grids import reasons
from policypress_lu2024 import tables
from policypress_lu2024.layout import Pruned, PruningRow

REPORT = make_report(algorithms=("ppo", "sac"), environments=("Hopper", "Ant"))


def test_table_1_has_every_combination_and_method() -> None:
    (grid,) = tables.table_1(REPORT)
    assert [name for name, _ in grid.groups] == ["ppo", "sac"]
    lines = [line for _, lines in grid.groups for line in lines]
    assert [line.environment for line in lines] == ["Hopper", "Ant"] * 2
    assert all([cell.method for cell in line.cells] == ["", "ptdq", "ptsq", "qat"] for line in lines)
    assert all(sum(cell.best for cell in line.cells) == 1 for line in lines[:3])
    assert all(cell.paper for line in lines[:3] for cell in line.cells)
    assert "3 runs" in lines[0].cells[1].detail


def test_what_was_not_run_is_a_dash_with_its_reason() -> None:
    (grid,) = tables.table_1(REPORT)
    last = grid.groups[-1][1][-1]
    assert last.learned == "not run"
    assert {(cell.text, cell.kind, cell.reason) for cell in last.cells} == {("–", "missing", "not measured")}


def test_none_is_said_where_no_ratio_passes() -> None:
    first = REPORT.table2[0]
    returns = next(iter(first.ratios.values())).returns
    row = replace(first, ratios={"l1": Pruned(None, True, returns), "l2": Pruned(0.3, False, returns)})
    report = replace(REPORT, table2=(row, *REPORT.table2[1:]))
    (grid,) = tables.table_2(report)
    l1, l2 = grid.groups[0][1][0].cells[2:]
    assert (l1.text, l1.kind) == ("none", "none")
    assert (l2.text, l2.detail) == ("30 %", "3 runs, not all ratios")


def test_table_3_is_environments_by_algorithms() -> None:
    (grid,) = tables.table_3(REPORT)
    assert [heading[0] for heading in grid.headings] == ["PPO", "SAC"]
    cells = {(line.environment, c.algorithm): c for _, lines in grid.groups for line in lines for c in line.cells}
    assert set(cells) == {(e, a) for e in ("Hopper", "Ant") for a in ("ppo", "sac")}
    assert cells["Ant", "sac"].reason == "no pruned agent has been measured"
    assert (cells["Hopper", "ppo"].paper, cells["Hopper", "ppo"].detail) == ("L2 30 %", "3 runs")
    assert reasons((grid,)) == ("no pruned agent has been measured",)


def test_combinations_that_the_study_does_not_have_are_said_to_be_none_of_it() -> None:
    report = replace(REPORT, combinations=REPORT.combinations[:3])
    (grid,) = tables.coverage(report)
    cell = grid.groups[0][1][1].cells[1]
    assert (cell.text, cell.reason) == ("–", "not in the study")


def test_coverage_counts_every_cell() -> None:
    (grid,) = tables.coverage(REPORT)
    cells = [cell for line in grid.groups[0][1] for cell in line.cells]
    assert [cell.text for cell in cells] == ["3 seeds", "3 seeds", "3 seeds", "not run"]
    assert [cell.part for cell in cells] == pytest.approx([0.3, 0.3, 0.3, 0.0])


def test_baselines_that_have_not_learned_are_marked_in_every_table() -> None:
    first = REPORT.combinations[0]
    learned = replace(first.learned, verdict="not learned", reason="too low")
    report = replace(REPORT, combinations=(replace(first, learned=learned), *REPORT.combinations[1:]))
    assert tables.table_1(report)[0].groups[0][1][0].learned == "not learned"
    assert tables.table_2(report)[0].groups[0][1][0].reason == "too low"
    assert tables.table_3(report)[0].groups[0][1][0].cells[0].note == "not learned"
    assert tables.coverage(report)[0].groups[0][1][0].cells[0].note == "not learned"


def test_costs_are_medians_of_shares_and_say_what_is_modelled() -> None:
    (grid,) = tables.costs(REPORT)
    lines = {line.name: line for line in grid.groups[0][1]}
    assert "energy of an action, modelled" in lines
    assert lines["inference time"].cells[0].text == "7.00 µs"
    assert all(cell.text.endswith(" %") for cell in lines["inference time"].cells[1:])
    assert all("–" in cell.detail for cell in lines["inference time"].cells[1:])
    assert tables.costs(make_report(algorithms=("ppo",), environments=("Ant", "Hopper"), costs=False)) == ()


def test_a_row_of_the_papers_is_not_needed() -> None:
    row = PruningRow(REPORT.combinations[0].name, REPORT.combinations[0].baseline, REPORT.table2[0].best, {}, {})
    (grid,) = tables.table_2(replace(REPORT, table2=(row,)))
    assert [cell.paper for cell in grid.groups[0][1][0].cells] == ["", "", "", ""]


@given(st.floats(-1e6, 1e6))
def test_numbers_read_back(value: float) -> None:
    text = tables.number(value)
    assert float(text.replace(",", "").replace("−", "-")) == pytest.approx(
        value, abs=0.51 if abs(value) >= 999 else 0.06
    )


def test_intervals_below_zero_are_not_written_with_a_dash() -> None:
    value = Estimate(-2.0, Interval(-2.0, -3.0, -1.0, 0.95, "chosen"), 2, "training seeds")
    assert tables.detail(value) == "−3.00 to −1.00 · 2 runs"
    assert tables.detail(Estimate(2.0, None, 1, "training seeds")) == "1 run"
