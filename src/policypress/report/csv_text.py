"""Tables as CSV that may be opened in a spreadsheet: a text in it is never a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from policypress.foreign_text import plain

# What spreadsheets take for the beginning of a formula, or of a call in older ones.
_FORMULA = ("=", "+", "-", "@", "|", "%")


def csv_of(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV (RFC 4180, but for lines that end in a line feed), safe to open in a spreadsheet.

    A text that a spreadsheet would take for a formula begins with an apostrophe, by which it is a text there.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_cell(value) for value in row] for row in (columns, *rows))
    return text.getvalue()


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return "" if value is None else value
    shown = plain(value)
    return f"'{shown}" if shown.lstrip()[:1] in _FORMULA else shown
