"""``report.html`` of a study: one page that holds everything it shows, with its figures as files beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from policypress.report.drawing.figure import StudyFigure, on_page, write_figures
from policypress.report.studies.grids import reasons
from policypress.report.studies.wording import algorithm_name
from policypress.report.template import page_of
from policypress_lu2024 import summary as answer
from policypress_lu2024 import tables
from policypress_lu2024.cells.methods import PALETTE, look, ordered
from policypress_lu2024.cells.own_recipes import own_recipes
from policypress_lu2024.figures.drawn import AGGREGATE_FIGURES, COST_FIGURES, NAMES, study_figures
from policypress_lu2024.study_report import StudyReport
from policypress_runtime.atomic_write import write_atomic

PAGE_NAME = "report.html"
_VERDICT_MARKS = {
    "holds": ("keeps", "✓"),
    "does not hold": ("loses", "✗"),
    "undecided": ("unclear", "?"),
    "no data": ("", "–"),
}


def write_page(report: StudyReport, folder: Path, files: Sequence[str] = ()) -> tuple[Path, ...]:
    """Write the page and its figures into ``folder``; each file appears whole or not at all.

    Args:
        report: what the study found.
        folder: of the report.
        files: further files there (tables, ``report.json``), relative to it; the page names them.

    Returns:
        The page, then its figures.

    Raises:
        OutputError: a file cannot be written.
    """
    drawn = study_figures(report)
    figures = write_figures(drawn, folder, NAMES)
    write_atomic(folder / PAGE_NAME, render(report, drawn, files).encode())
    return (folder / PAGE_NAME, *figures)


def render(report: StudyReport, figures: Sequence[StudyFigure], files: Sequence[str] = ()) -> str:
    """The page. What comes from the study's file and database is text in it, never markup; it loads nothing."""
    shown = {figure.name: on_page(figure) for figure in figures}
    return page_of(
        "page.html.j2",
        package=__package__,
        report=report,
        answer=answer,
        sentences=answer.sentences(report),
        tiles=tiles(report),
        palette=PALETTE.css(),
        filters=filters(report),
        coverage=tables.coverage(report),
        table_1=tables.table_1(report),
        table_2=tables.table_2(report),
        table_3=tables.table_3(report),
        own=own_recipes(report),
        costs=tables.costs(report),
        several=len(report.runtimes) > 1,
        figures=shown,
        cost_figures=COST_FIGURES,
        aggregate_figures=AGGREGATE_FIGURES,
        marks=_VERDICT_MARKS,
        unaggregated=list(dict.fromkeys(a.missing for a in report.aggregates if a.missing)),
        undrawn=undrawn(report, set(shown)),
        reasons=reasons,
        files=files,
    )


def filters(report: StudyReport) -> list[dict[str, Any]]:
    """What may be chosen: algorithms, environments, methods and, if there are several, runtimes."""
    methods = ordered(variant.method for combination in report.combinations for variant in combination.variants)
    groups: list[tuple[str, str, list[tuple[str, str, str]]]] = [
        ("algorithm", "Algorithms", [(a, algorithm_name(a), "") for a in report.algorithms]),
        ("environment", "Environments", [(e, e, "") for e in report.environments]),
        ("method", "Methods", [(m, look(m).label, look(m).token) for m in methods]),
        ("runtime", "Runtimes", [(r, r, "") for r in report.runtimes]),
    ]
    return [
        {"name": name, "title": title, "values": values}
        for name, title, values in groups
        if len(values) > (1 if name == "runtime" else 0)
    ]


def undrawn(report: StudyReport, shown: set[str]) -> list[str]:
    """The paper's figures that are not drawn at all, each with the reasons."""
    found = []
    for number, name in enumerate(COST_FIGURES, 1):
        missing = dict.fromkeys(s.missing for s in report.series if s.figure == number and s.missing)
        if name not in shown and missing:
            found.append(f"Figure {number} is not drawn: {'; '.join(missing)}.")
    return found


def tiles(report: StudyReport) -> list[tuple[str, str, str]]:
    """The state of the study in a few numbers: label, value, note."""
    cells = report.cells
    total = cells.done + cells.failed + cells.left
    shown = [
        (
            "Combinations measured",
            f"{answer.trained(report)} of {answer.combinations(report)}",
            "algorithm × environment",
        ),
        ("Cells done", f"{cells.done:,}", f"of {total:,}; {cells.failed} failed, {cells.left:,} left"),
    ]
    episodes = sum(report.provenance.episodes.values())
    if episodes:
        shown.append(("Episodes played", f"{episodes:,}", "all variants and baselines"))
    counts = answer.verdicts(report, report.runtimes[0]) if report.runtimes else {}
    decided = counts.get("holds", 0) + counts.get("does not hold", 0)
    if report.findings:
        note = f"{counts.get('holds', 0)} hold, {counts.get('does not hold', 0)} do not"
        shown.append(("Statements decided", f"{decided} of {len(report.findings)}", note))
    return shown
