"""Tables as plain columns and rows, for CSV: numbers in full, in SI units, empty where unknown."""

from __future__ import annotations

from dataclasses import dataclass

from policypress.report.csv_text import csv_of
from policypress.report.studies.estimates import Estimate, MaybeEstimate

Value = str | float | int | bool | None
_OF_ESTIMATE = ("", "_lower", "_upper", "_runs", "_unit", "_missing")


@dataclass(frozen=True)
class Sheet:
    """A table: its name, for the file, its columns, and its rows."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]

    def csv(self) -> str:
        """As CSV; see :func:`csv_of`."""
        return csv_of(self.columns, self.rows)


def names_of(prefix: str) -> tuple[str, ...]:
    """Columns of an estimate: itself, its bounds, how many runs of what, and why there is none."""
    return tuple(prefix + ending for ending in _OF_ESTIMATE)


def values_of(known: MaybeEstimate) -> tuple[Value, ...]:
    """The values of these columns."""
    if isinstance(known, Estimate):
        return known.value, known.lower, known.upper, known.runs, known.unit, None
    return None, None, None, None, None, known.reason
