r"""The one way by which text that may come from a file gets into C: as a comment, a string, or a name.

What is not on a short list of characters is replaced or escaped, so that no text ends the comment or the string that
it stands in: not by ``*/``, not by ``*\`` before a line's end, not by a trigraph that stands for the backslash.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

from policypress_runtime.errors import InputError

WIDTH = 110
# Of one line of a comment before it is wrapped: bounds and recipes are shorter.
_MOST = 16_000
# No asterisk, no backslash, no question mark, no quotes: a comment cannot be ended, and starts no other.
_NOT_IN_COMMENTS = re.compile(r"[^A-Za-z0-9 .,:;()\[\]{}<>_+=|&@#%'!/~^$-]+")
_PLAIN = frozenset(b" _.,:()[]{}-+*/=<>0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_NAME_LENGTH = 40
# Headers of the C library, which a file of the same name beside the source may hide.
_HEADERS = (
    "assert complex ctype errno fenv float inttypes iso646 limits locale math memory setjmp signal stdalign stdarg "
    "stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string strings tgmath threads time uchar unistd wchar "
    "wctype python immintrin arm_neon"
)
_LIBRARY = frozenset(_HEADERS.split())


def block_comment(lines: Iterable[str]) -> str:
    """A comment of several lines, each of any length and any text; what may not stand in it becomes ``?``."""
    shown: list[str] = []
    for line in lines:
        text = _NOT_IN_COMMENTS.sub("?", line.replace("\n", " "))
        cut = text if len(text) <= _MOST else f"{text[: _MOST - 3]}..."
        indent = " " * (len(cut) - len(cut.lstrip()) + 4)
        shown += textwrap.wrap(cut, WIDTH, subsequent_indent=indent) or [""]
    return "/* " + "\n".join(f"   {line}".rstrip() for line in shown).lstrip() + " */"


def literal(text: str) -> str:
    """``text`` as a C string, in UTF-8; its bytes are those of the text whatever they are."""
    content = text.encode(errors="replace")
    return '"' + "".join(chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in content) + '"'


def literals(text: str, width: int = WIDTH - 10) -> str:
    """``text`` as C strings of a readable length on lines of their own, which the compiler joins."""
    return "\n".join(f"    {literal(text[i : i + width])}" for i in range(0, len(text), width))


def identifier(text: str, otherwise: str = "value") -> str:
    """``text`` as part of a C name: ASCII letters, digits and underscores, of a bounded length."""
    kept = "".join(c if c.isascii() and c.isalnum() else "_" for c in text[:_NAME_LENGTH])
    return kept.strip("_") or otherwise


def is_prefix(name: str) -> bool:
    """Whether C names, macros and a header may begin with ``name``."""
    return name.isascii() and name.isidentifier() and name.islower() and name not in _LIBRARY and len(name) <= 100


def prefix(name: str) -> str:
    """``name``, if it may stand at the front of C names, macros and the header's file name.

    Raises:
        InputError: it may not.
    """
    if not is_prefix(name):
        raise InputError(
            "The name cannot be the prefix of C names.",
            got=name,
            expected="a lower-case word that no header of the C library has, e.g. policy",
        )
    return name
