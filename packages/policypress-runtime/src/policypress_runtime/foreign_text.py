"""Text that may come from a file, made fit to be shown or refused: nothing in it steers what it is shown on.

Control characters move a terminal's cursor and set its title; direction marks turn a line around; characters without
width make two names look alike. Unicode's categories Cc, Cf, Cs, Zl and Zp are all of them, and some letters are blank.
"""

from __future__ import annotations

import unicodedata
from typing import Any

REPLACED = "?"
LIMIT = 4000
"""Characters of one text that are shown; a file can hold millions."""
_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Hangul fillers and the blank of Braille: letters and signs that show nothing.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def is_plain(text: str) -> bool:
    """Whether ``text`` is one line that any terminal shows as it is."""
    return (text.isprintable() and _BLANK.isdisjoint(text)) or not any(map(_steers, text))


def plain(text: str, limit: int = LIMIT) -> str:
    r"""``text`` as one line: white space becomes a blank, what steers a terminal ``?``; cut at ``limit`` characters.

    >>> plain("X\x1b[2J\nnote: all is well")
    'X?[2J note: all is well'
    """
    return plain_lines(" ".join(shortened(text, limit).splitlines())).replace("\t", " ")


def plain_lines(text: str, limit: int | None = None) -> str:
    """``text`` with its line breaks and tabs; what else steers a terminal becomes ``?``."""
    cut = text if limit is None else shortened(text, limit)
    if cut.isprintable() and _BLANK.isdisjoint(cut):
        return cut
    return "".join(c if c in "\n\t" or not _steers(c) else REPLACED for c in cut.replace("\r\n", "\n"))


def plain_data(value: Any) -> Any:
    """JSON data with every text in it made fit to be shown, keys too."""
    match value:
        case str():
            return plain_lines(value)
        case dict():
            return {plain_data(key): plain_data(one) for key, one in value.items()}
        case list() | tuple():
            return [plain_data(one) for one in value]
        case _:
            return value


def on_page(value: Any) -> Any:
    """What a template puts on a page: markup of ours as it is, other text fit to be shown (and escaped afterwards)."""
    return plain_lines(value) if type(value) is str else value


def shortened(text: str, limit: int = LIMIT) -> str:
    """``text``, or its beginning with an ellipsis."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)] + "…"


def _steers(character: str) -> bool:
    return unicodedata.category(character) in _STEERING or character in _BLANK
