"""Tables as CSV: what pandas reads back is what the report holds."""

from __future__ import annotations

import csv
import io

from policypress.report.studies.estimates import Estimate
from policypress.report.studies.sheets import Sheet
from policypress_lu2024.csv_tables import sheets
from policypress_lu2024.study_report import StudyReport


def read(report: StudyReport, name: str) -> list[dict[str, str]]:
    sheet = next(sheet for sheet in sheets(report) if sheet.name == name)
    return list(csv.DictReader(io.StringIO(sheet.csv())))


def test_every_sheet_has_as_many_cells_as_columns(whole: StudyReport) -> None:
    for sheet in sheets(whole):
        assert len(set(sheet.columns)) == len(sheet.columns), sheet.name
        assert {len(row) for row in sheet.rows} == {len(sheet.columns)}, sheet.name


def test_table_1_has_ours_and_the_papers(whole: StudyReport) -> None:
    row = read(whole, "table-1-quantization")[0]
    qat = whole.table1[0].returns["qat"]
    assert isinstance(qat, Estimate)
    assert float(row["qat"]) == qat.value
    assert (row["qat_runs"], row["qat_unit"], row["qat_paper"]) == ("3", "training seeds", "432.21")
    assert (row["algorithm"], row["environment"], row["best"], row["baseline_learned"]) == (
        "ppo",
        "HalfCheetah",
        "ptdq",
        "learned",
    )


def test_table_2_and_3(whole: StudyReport) -> None:
    row = read(whole, "table-2-pruning")[0]
    assert (row["l1_ratio"], row["l2_ratio"], row["l1_ratio_paper"]) == ("0.1", "0.3", "0.1")
    best = read(whole, "table-3-best-pruning")[0]
    assert (best["norm"], best["ratio"], best["norm_paper"], best["ratio_paper"]) == ("l2", "0.3", "l1", "0.1")


def test_every_variant_has_a_row_and_what_is_missing_is_empty(whole: StudyReport) -> None:
    rows = read(whole, "variants")
    assert len(rows) == 4 * 31
    assert {row["latency"] for row in rows} == {""}
    assert {row["packed_bytes_relative"] for row in rows} == {"0.25"}


def test_findings_are_of_the_paper_and_each_runtime(whole: StudyReport) -> None:
    rows = read(whole, "findings")
    assert len(rows) == 2 * len(whole.findings)
    assert {row["source"] for row in rows} == {"paper", "onnxruntime"}


def test_csv_quotes_what_has_to_be() -> None:
    assert Sheet("s", ("a", "b"), (("x, y", None), (True, 0.1))).csv() == 'a,b\n"x, y",\nTrue,0.1\n'
