"""The report's JSON: every field, and text that any reader of JSON takes."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from policypress.report.studies.aggregates import ProfilePoint
from policypress.report.studies.cost_estimates import Cost
from policypress.report.studies.estimates import Estimate
from policypress.report.studies.evidence import Evidence, Finding
from policypress.report.studies.runs import Cells
from policypress_lu2024.cells.combination import Combination, Variant
from policypress_lu2024.csv_tables import sheets
from policypress_lu2024.findings.conclusions import Aggregate, Improvement
from policypress_lu2024.latex import latex_tables
from policypress_lu2024.layout import OptimalRow, Point, Pruned, PruningRow, QuantizationRow, Series
from policypress_lu2024.study_report import SCHEMA, Provenance, StudyReport

DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "study_report.md").read_text()

PROVENANCE = Provenance(("policypress study run s.yml",), "0", "2", "", "", {}, (), (), {}, {})
EMPTY = StudyReport(
    study="s",
    description="",
    paper="a paper",
    provenance=PROVENANCE,
    cells=Cells(0, 0, 0),
    algorithms=(),
    environments=(),
    runtimes=(),
    reduced=(),
    combinations=(),
    table1=(),
    table2=(),
    table3=(),
    series=(),
    aggregates=(),
    improvements=(),
    findings=(),
    contradictions=(),
)


def test_the_json_has_every_field_and_its_version() -> None:
    data = json.loads(EMPTY.to_text())
    assert data["schema"] == SCHEMA
    assert set(data) == {"schema", *(field.name for field in fields(StudyReport))}
    assert data["provenance"]["commands"] == ["policypress study run s.yml"]


@pytest.mark.parametrize(
    "kind",
    [
        StudyReport,
        Provenance,
        Cells,
        Combination,
        Variant,
        Cost,
        Estimate,
        QuantizationRow,
        PruningRow,
        Pruned,
        OptimalRow,
        Series,
        Point,
        Aggregate,
        ProfilePoint,
        Improvement,
        Finding,
        Evidence,
    ],
)
def test_every_field_is_documented(kind: type) -> None:
    names = [field.name for field in fields(kind)]
    if kind is Estimate:
        # In JSON an interval is written as its two ends.
        names = [name for name in names if name != "interval"] + ["lower", "upper"]
    assert [name for name in names if f"`{name}`" not in DOCUMENT] == []


def test_the_document_names_every_table_and_the_version(whole: StudyReport) -> None:
    names = [sheet.name for sheet in sheets(whole)] + list(latex_tables(whole))
    assert [name for name in names if f"`{name}" not in DOCUMENT] == []
    assert f"now {SCHEMA} " in DOCUMENT
