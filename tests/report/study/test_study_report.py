"""The report's JSON: every field, and text that any reader of JSON takes."""

from __future__ import annotations

import json
from dataclasses import fields

from policypress.report.study.combination import Cells
from policypress.report.study.study_report import SCHEMA, Provenance, StudyReport

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
