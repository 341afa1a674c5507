r"""The text in which Python, gym and numpy print spaces, parsed into plain values; nothing is evaluated.

Understood: numbers (``inf``, ``nan`` too), strings, ``[1 2 3]`` and ``[1, 2, 3]``, ``(…)``, ``{'a': …}``, ``Name(…)``
with positional, ``key=value`` and ``key: value`` arguments, and numpy's ``...`` for what it left out.

>>> parse("{'a': Discrete(3)}")
{'a': Call(name='Discrete', arguments=(3,), named={})}
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from policypress_runtime.reading_limits import shown

MAX_TEXT = 1_000_000
MAX_DEPTH = 40

# Numbers are matched without going back (++, ?+): a million digits and a letter take a moment, not hours.
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<dots>\.\.\.)
    | (?P<number>[+-]?(?:inf|nan|(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][+-]?\d++)?+)(?![\w.]))
    | (?P<string>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")
    | (?P<class><class\ '[\w.]+'>)
    | (?P<name>[A-Za-z_][\w.]*)
    | (?P<mark>[][(){},:=])
    )""",
    re.VERBOSE,
)
_CLOSING = {"[": "]", "(": ")", "{": "}"}
_WORDS = {"True": True, "False": False, "None": None}


class SpaceTextError(ValueError):
    """The text is none that a space prints."""


@dataclass(frozen=True)
class Call:
    """``name(arguments, key=value)``, not called."""

    name: str
    arguments: tuple[Any, ...] = ()
    named: dict[str, Any] = field(default_factory=dict)


def parse(text: str) -> Any:
    """Plain value of ``text``: numbers, strings, lists, dicts, :class:`Call`, and ``...`` for omissions.

    Raises:
        SpaceTextError: the text has another grammar, or is too long or too deep.
    """
    if len(text) > MAX_TEXT:
        raise SpaceTextError(f"{len(text)} characters")
    reader = _Reader(_tokens(text))
    value = reader.value(0)
    if reader.kind != "end":
        raise SpaceTextError(f"{shown(reader.text)} after the end")
    return value


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise SpaceTextError(f"unexpected {text[position : position + 20]!r}")
        found.append((match.lastgroup, match.group(match.lastgroup)))
        position = match.end()
    found.append(("end", ""))
    return found


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def kind(self) -> str:
        return self._tokens[self._at][0]

    @property
    def text(self) -> str:
        return self._tokens[self._at][1]

    def _take(self) -> str:
        text = self.text
        self._at += 1
        return text

    def _skip(self, mark: str) -> bool:
        if self.kind == "mark" and self.text == mark:
            self._at += 1
            return True
        return False

    def value(self, depth: int) -> Any:
        """One value."""
        if depth > MAX_DEPTH:
            raise SpaceTextError("nested too deeply")
        match self.kind:
            case "dots":
                self._take()
                return ...
            case "number":
                return _number(self._take())
            case "string":
                return _string(self._take())
            case "class":
                return self._take()[len("<class '") : -len("'>")]
            case "name":
                name = self._take()
                return self._call(name, depth) if self._skip("(") else _WORDS.get(name, name)
            case "mark" if self.text in _CLOSING:
                opening = self._take()
                items, named = self._items(_CLOSING[opening], depth)
                return named if opening == "{" else items
        raise SpaceTextError(f"unexpected {shown(self.text)}")

    def _call(self, name: str, depth: int) -> Call:
        items, named = self._items(")", depth)
        return Call(name, tuple(items), named)

    def _items(self, closing: str, depth: int) -> tuple[list[Any], dict[str, Any]]:
        items: list[Any] = []
        named: dict[str, Any] = {}
        while not self._skip(closing):
            item = self.value(depth + 1)
            if self._skip("=") or self._skip(":"):
                if not isinstance(item, str) or item in named:
                    raise SpaceTextError(f"{shown(item)} as a key")
                named[item] = self.value(depth + 1)
            else:
                items.append(item)
            self._skip(",")
        return items, named


def _string(literal: str) -> str:
    body = literal[1:-1]
    if re.search(r"\\[^\\'\"]", body.replace("\\\\", "")):
        raise SpaceTextError(f"an escape in {shown(literal)}")
    return re.sub(r"\\(.)", r"\1", body)


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)
