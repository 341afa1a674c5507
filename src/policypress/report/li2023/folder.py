"""What a person finds in the folder of the report: the page, the data, the tables and the figures."""

from __future__ import annotations

import json
from pathlib import Path

from policypress.atomic_write import write_atomic
from policypress.engine.store.reader import StoreReader
from policypress.report.csv_text import csv_of
from policypress.report.li2023.charts import reward_trend
from policypress.report.li2023.page import render
from policypress.report.li2023.results import LiResults, read_results
from policypress.report.study.assembling import commands

PAGE_NAME, DATA_NAME, TABLE_NAME = "report.html", "report.json", "table-2-memory.csv"
FIGURES = "figures"
KIND = "li2023"


def write_report(store: StoreReader, folder: Path) -> Path:
    """Write the report of the study in ``store``; each file appears whole or not at all.

    Returns:
        Path of the page.

    Raises:
        StudyInputError: the study trains nothing.
        OutputError: a file cannot be written.
    """
    results = read_results(store)
    charts = [chart for task in results.tasks if (chart := reward_trend(task)) is not None]
    for chart in charts:
        write_atomic(folder / FIGURES / f"{chart.name}.svg", chart.svg().encode())
        write_atomic(folder / FIGURES / f"{chart.name}.png", chart.png())
    write_atomic(folder / TABLE_NAME, table(results).encode())
    write_atomic(folder / DATA_NAME, (json.dumps(results.to_json(), indent=1, ensure_ascii=False) + "\n").encode())
    write_atomic(folder / PAGE_NAME, render(results, charts, commands(f"{results.study}.yml")).encode())
    return folder / PAGE_NAME


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
