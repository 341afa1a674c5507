"""What a page's tables show, cell by cell as text with what belongs to it; ``studies/parts.html.j2`` draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policypress.report.studies.estimates import Estimate
from policypress.report.studies.wording import number

NOTHING = "–"
Headings = tuple[tuple[str, str, str], ...]
"""Columns after the first: text, and the method and the algorithm that each belongs to."""


@dataclass(frozen=True)
class CellText:
    """One cell.

    Attributes:
        heading: of its column; a phone shows it beside the value.
        text: the value.
        share: of the baseline; may be empty.
        detail: interval and number of runs; may be empty.
        paper: the paper's own number; may be empty.
        method: whose it is, for filters; empty for none.
        algorithm: likewise, where columns are algorithms.
        best: whether it is the best of its row.
        paper_best: whether the paper's is.
        kind: ``none`` where nothing passes, ``missing`` where there is no number, else empty.
        reason: why there is no number.
        note: a warning; may be empty.
        part: share of something that is done, to draw as a bar; None for no bar.
    """

    heading: str
    text: str
    share: str = ""
    detail: str = ""
    paper: str = ""
    method: str = ""
    algorithm: str = ""
    best: bool = False
    paper_best: bool = False
    kind: str = ""
    reason: str = ""
    note: str = ""
    part: float | None = None


@dataclass(frozen=True)
class Line:
    """One row: a combination, its cells, its baseline's standing, and the recipe where a row is one recipe's."""

    name: str
    algorithm: str
    environment: str
    cells: tuple[CellText, ...]
    learned: str = "learned"
    reason: str = ""
    title: str = ""
    method: str = ""


@dataclass(frozen=True)
class Grid:
    """A table under one runtime, its rows in groups by algorithm (or in one group, without a name).

    ``title`` is the runtime's name for people, where it differs.
    """

    runtime: str
    headings: Headings
    groups: tuple[tuple[str, tuple[Line, ...]], ...]
    title: str = ""


def detail(value: Estimate) -> str:
    """Interval and number of runs."""
    runs = "1 run" if value.runs == 1 else f"{value.runs} runs"
    if value.lower is None or value.upper is None:
        return runs
    between = "–" if value.lower >= 0 else " to "
    return f"{number(value.lower)}{between}{number(value.upper)} · {runs}"


def reasons(grids: Sequence[Grid]) -> tuple[str, ...]:
    """Why cells are dashes, each reason once."""
    lines = [line for grid in grids for _, group in grid.groups for line in group]
    missing = [cell.reason for line in lines for cell in line.cells if cell.kind == "missing" and cell.reason]
    return tuple(dict.fromkeys(missing))
