"""Tables as LaTeX: plain ``tabular``, no package needed."""

from __future__ import annotations

from collections.abc import Sequence

from policypress.report.quantities import with_spread
from policypress.report.studies.estimates import Estimate, MaybeEstimate
from policypress_runtime.foreign_text import plain, plain_lines

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "–": "--",
    "|": r"\textbar{}",
}
NOTHING = "--"
Rows = Sequence[Sequence[str]]


def escaped(text: str) -> str:
    r"""Text as LaTeX sets it.

    >>> escaped("10 % & more_{}")
    '10 \\% \\& more\\_\\{\\}'
    """
    return "".join(_SPECIAL.get(character, character) for character in plain(text))


def tabular(columns: Sequence[str], rows: Rows, notes: Sequence[str], left: int = 2) -> str:
    """A ``tabular`` with rules, its notes as comments above; every row has as many cells as there are columns.

    Args:
        columns: headings, as LaTeX.
        rows: cells, as LaTeX.
        notes: of plain text.
        left: number of columns that are aligned left.
    """
    lines = [f"% {line}" for note in notes for line in plain_lines(note).splitlines()]
    lines += [rf"\begin{{tabular}}{{{'l' * left}{'r' * (len(columns) - left)}}}", r"\hline"]
    lines += [" & ".join(columns) + r" \\", r"\hline"]
    # Behind the end of a row, a bracket or an asterisk would be an argument of it, blanks before it or not.
    lines += [("{}" if "".join(row).lstrip()[:1] in ("[", "*") else "") + " & ".join(row) + r" \\" for row in rows]
    return "\n".join([*lines, r"\hline", r"\end{tabular}", ""])


def estimate(known: MaybeEstimate, *, runs: bool = True) -> str:
    """A number with half the width of its interval, and in parentheses the number of runs."""
    if not isinstance(known, Estimate):
        return NOTHING
    half = None if known.lower is None or known.upper is None else (known.upper - known.lower) / 2
    return escaped(with_spread(known.value, half)) + (f" ({known.runs})" if runs else "")


def percent(ratio: float) -> str:
    """A share in per cent."""
    return rf"{100 * ratio:.0f}\,\%"


def bold(text: str, best: bool) -> str:
    """The best of a row in bold."""
    return rf"\textbf{{{text}}}" if best else text
