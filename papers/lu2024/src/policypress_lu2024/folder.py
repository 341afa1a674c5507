"""What a person finds in the folder of a study's report: the page, figures, data, and every table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from policypress.engine.store.reader import StoreReader
from policypress.study.spec_header import SpecHeader
from policypress_lu2024.cells.assembling import read_study_report
from policypress_lu2024.csv_tables import sheets
from policypress_lu2024.latex import latex_tables
from policypress_lu2024.page import write_page
from policypress_lu2024.study_report import StudyReport
from policypress_runtime.atomic_write import write_atomic

DATA_NAME = "report.json"
TABLES = "tables"


def write_report(store: StoreReader, study: SpecHeader, folder: Path) -> Sequence[Path]:
    """Write the report of the study in ``store`` into ``folder``; each file appears whole or not at all.

    Returns:
        The page, then every other file.

    Raises:
        StoreError: the database is damaged or of another schema.
        OutputError: a file cannot be written.
    """
    report = read_study_report(store, study.path.name)
    data = write_data(report, folder)
    return (*write_page(report, folder, data), *(folder / name for name in data))


def write_data(report: StudyReport, folder: Path) -> list[str]:
    """Write ``report.json`` and the tables as CSV and LaTeX; their paths relative to ``folder``, in order."""
    contents = {f"{TABLES}/{sheet.name}.csv": sheet.csv() for sheet in sheets(report)}
    contents |= {f"{TABLES}/{name}.tex": text for name, text in latex_tables(report).items()}
    contents = {DATA_NAME: report.to_text(), **contents}
    for name, text in contents.items():
        write_atomic(folder / name, text.encode())
    return list(contents)
