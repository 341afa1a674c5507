"""What a terminal cannot show is shown as something that it can: output never fails for a character."""

from __future__ import annotations

import codecs
import io
import sys

_NAME = "policypress"
_PLAIN = {
    "\u2026": "...",
    "\u2013": "-",
    "\u2014": "-",
    "\u2212": "-",
    "\u2192": "->",
    "\u00b5": "u",
    "\u03bc": "u",
    "\u00d7": "x",
    "\u00b7": "*",
    "\u2265": ">=",
    "\u2264": "<=",
    "\u00b1": "+-",
    "\u2248": "~",
    "\u00a0": " ",
}


def make_output_safe() -> None:
    """Let stdout and stderr write every text, whatever their encoding.

    Our own signs get plain forms; bytes of a file's name that are no text, and other characters, become escapes.
    """
    codecs.register_error(_NAME, _replaced)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "surrogateescape":
            stream.reconfigure(errors=_NAME)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(character: str) -> str:
    if character in _PLAIN:
        return _PLAIN[character]
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("ascii", "backslashreplace").decode()
