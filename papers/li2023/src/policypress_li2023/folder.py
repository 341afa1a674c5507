"""What a person finds in the folder of the report: the page, the data, the tables and the figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from policypress.engine.store.reader import StoreReader
from policypress.report.csv_text import csv_of
from policypress.report.studies.provenance import commands
from policypress.study.spec_header import SpecHeader
from policypress_li2023.charts import reward_trend
from policypress_li2023.page import render
from policypress_li2023.results import LiResults, read_results
from policypress_runtime.atomic_write import write_atomic

PAGE_NAME, DATA_NAME, TABLE_NAME = "report.html", "report.json", "table-2-memory.csv"
FIGURES = "figures"


def write_report(store: StoreReader, study: SpecHeader, folder: Path) -> Sequence[Path]:
    """Write the report of the study in ``store``; each file appears whole or not at all.

    Returns:
        The page, then every other file.

    Raises:
        StudyInputError: the study trains nothing.
        OutputError: a file cannot be written.
    """
    results = read_results(store)
    charts = [chart for task in results.tasks if (chart := reward_trend(task)) is not None]
    contents = {PAGE_NAME: render(results, charts, commands(study.path.name)).encode()}
    contents[DATA_NAME] = (json.dumps(results.to_json(), indent=1, ensure_ascii=False) + "\n").encode()
    contents[TABLE_NAME] = table(results).encode()
    for chart in charts:
        contents[f"{FIGURES}/{chart.name}.svg"] = chart.svg().encode()
        contents[f"{FIGURES}/{chart.name}.png"] = chart.png()
    for name, content in contents.items():
        write_atomic(folder / name, content)
    return tuple(folder / name for name in contents)


def table(results: LiResults) -> str:
    """Table 2 as CSV: bytes, the paper's numbers as they are; empty where nothing was measured."""
    names = (
        "peak_rss_bytes",
        "started_rss_bytes",
        "networks_bytes",
        "optimizer_bytes",
        "replay_bytes",
        "deployed_bytes",
    )
    headings = ("algorithm", "environment", "paper_before", "paper_after")
    rows: list[list[object]] = []
    for row in results.memory:
        cells: list[object] = [row.algorithm, row.environment]
        cells += ["", ""] if row.printed is None else [f"{row.printed.before:g}", f"{row.printed.after:g}"]
        for form in (row.fp32, row.qat):
            networks = form.parts["acting_bytes"] + form.parts["value_bytes"] if form.parts else None
            parts = [networks, *(form.parts.get(name) for name in ("optimizer_bytes", "replay_bytes"))]
            found = [form.peak_rss_bytes, form.started_rss_bytes, *parts, form.deployed_bytes]
            cells += ["" if value is None else round(value) for value in found]
        rows.append(cells)
    return csv_of((*headings, *(f"{form}_{n}" for form in ("fp32", "qat") for n in names)), rows)
