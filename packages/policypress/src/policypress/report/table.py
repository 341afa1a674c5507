"""The rows as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from policypress.measurement.statistics import Interval, Missing
from policypress.report.quantities import percent, size, times, with_spread
from policypress.report.recipe_results import BASELINE, RANDOM, RecipeResult
from policypress.report.words import display_name

NOT_CERTIFIED = (
    "return not certified: no environment, so no episodes were played; the action error is all that is known"
)


NARROW = 100


def comparison(rows: Sequence[RecipeResult], width: int) -> Table:
    """Table of recipes against the baseline for a terminal of ``width`` columns.

    Columns without any content are left out, and on a narrow terminal the action error, which returns overrule.
    """
    played = any(row.returns for row in rows)
    headings = ["packed", "smaller"]
    if not played or width >= NARROW:
        headings.append("action error")
    if played:
        headings += ["return", "of base", "retention"]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("recipe", overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    base = next((row.artifact for row in rows if row.name == BASELINE and row.artifact), None)
    for row in rows:
        cells = _cells(row, None if base is None else base.packed_bytes)
        table.add_row(cells["recipe"], *(cells.get(heading, "") for heading in headings))
    return table


def _cells(row: RecipeResult, base_bytes: int | None) -> dict[str, Text | str]:
    name = display_name(row)
    if row.status == "failed":
        return {"recipe": Text(name, style="red"), "packed": Text("failed", style="red")}
    cells: dict[str, Text | str] = {"recipe": name}
    compared = row.name not in (RANDOM, BASELINE)
    if row.artifact is not None:
        cells["packed"] = size(row.artifact.packed_bytes)
        if compared and base_bytes is not None:
            cells["smaller"] = times(base_bytes / row.artifact.packed_bytes)
        if compared and row.artifact.action_error is not None:
            cells["action error"] = percent(row.artifact.action_error, 2)
    if row.returns:
        mean = sum(row.returns) / len(row.returns)
        half_width = None if isinstance(row.mean, Missing) else (row.mean.upper - row.mean.lower) / 2
        cells["return"] = with_spread(mean, half_width)
        if compared:
            cells["of base"], cells["retention"] = _percent(row.ratio), _range(row.retention)
    return cells


def _percent(value: Interval | Missing) -> Text | str:
    if isinstance(value, Missing):
        return "–"
    return Text(percent(value.estimate), style="green" if value.estimate >= 0.9 else "yellow")


def _range(value: Interval | Missing) -> str:
    if isinstance(value, Missing):
        return "–"
    return f"{value.estimate:.3f} [{value.lower:.2f}, {value.upper:.2f}]"


def reasons(rows: Sequence[RecipeResult]) -> tuple[str, ...]:
    """Why a ratio or a retention is a dash: each reason once, with the column it stands in."""
    found: dict[str, None] = {}
    for row in rows:
        if row.name in (RANDOM, BASELINE) or not row.returns:
            continue
        for column, value in (("of base", row.ratio), ("retention", row.retention)):
            if isinstance(value, Missing):
                found.setdefault(f"no “{column}”: {value.reason}")
    return tuple(found)
