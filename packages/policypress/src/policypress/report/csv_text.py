"""Tables as CSV that may be opened in a spreadsheet: a text in it is never a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

from policypress_runtime.foreign_text import plain

# What spreadsheets take for the beginning of a formula, or of a call in older ones; some read the wide forms as well.
_FORMULA = r"[=+\-@|%\uff1d\uff0b\uff0d\uff20]"
# Where a comma is the decimal sign, they take semicolons for the ends of cells, and read quotes inside of one anew.
_BEGINS_CELL = re.compile(rf"^(?=\s*{_FORMULA})|(?<=;)(?=[\s\"]*{_FORMULA})")


def csv_of(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV (RFC 4180, but for lines that end in a line feed), safe to open in a spreadsheet.

    Before what a spreadsheet would take for a formula stands an apostrophe, by which it is a text there: at the
    beginning of a text, and behind a semicolon, which ends cells in countries that write 1,5.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_cell(value) for value in row] for row in (columns, *rows))
    return text.getvalue()


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return "" if value is None else value
    return _BEGINS_CELL.sub("'", plain(value))
