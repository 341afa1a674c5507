"""What a person finds in the folder of the general report: the page, figures, data, and every table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from policypress.engine.store.reader import StoreReader
from policypress.report.drawing.figure import write_figures
from policypress.report.grid.charts import NAMES, grid_figures
from policypress.report.grid.files import latex_tables, sheets
from policypress.report.grid.page import render
from policypress.report.grid.report import read_report
from policypress.study.spec_header import SpecHeader
from policypress_runtime.atomic_write import write_atomic

PAGE_NAME, DATA_NAME, TABLES = "report.html", "report.json", "tables"


def write_report(store: StoreReader, study: SpecHeader, folder: Path) -> Sequence[Path]:
    """Write the general report of a study into ``folder``; each file appears whole or not at all.

    Returns:
        The page, then every other file.

    Raises:
        StoreError: the database is damaged or of another schema.
        OutputError: a file cannot be written.
    """
    report = read_report(store, study.name, study.path.name, str(study.data.get("description", "")))
    contents = {DATA_NAME: report.to_text()}
    contents |= {f"{TABLES}/{sheet.name}.csv": sheet.csv() for sheet in sheets(report)}
    contents |= {f"{TABLES}/{name}.tex": text for name, text in latex_tables(report).items()}
    for name, text in contents.items():
        write_atomic(folder / name, text.encode())
    drawn = grid_figures(report)
    figures = write_figures(drawn, folder, NAMES)
    write_atomic(folder / PAGE_NAME, render(report, drawn, tuple(contents)).encode())
    return (folder / PAGE_NAME, *(folder / name for name in contents), *figures)
