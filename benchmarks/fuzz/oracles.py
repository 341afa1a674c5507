"""What a program makes of text that policypress wrote: readers of C, LaTeX, HTML, CSV and terminals, apart from ours.

Each takes a whole file apart as its own language has it, so that what foreign text has added is seen.
"""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from html.parser import HTMLParser

_TRIGRAPHS = {"=": "#", "/": "\\", "'": "^", "(": "[", ")": "]", "!": "|", "<": "{", ">": "}", "-": "~"}
_C_TOKEN = re.compile(r'[A-Za-z_]\w*|\.?\d(?:[eEpP][+-]|[\w.])*|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|[^\s\w]')
_C_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
_TEX = re.compile(r"\\[A-Za-z]+|\\.|[\\{}$&#^_~%\n]", re.DOTALL)
FORMULA = re.compile("[=+\\-@|%\t\r\uff1d\uff0b\uff0d\uff20]")


class WrongTextError(Exception):
    """Foreign text became more than text."""


def require(right: bool, what: str, *about: object) -> None:
    """Raise a :class:`WrongTextError` unless ``right``."""
    if not right:
        raise WrongTextError(f"{what}: {' / '.join(ascii(one)[:300] for one in about)}")


def c_tokens(source: str) -> tuple[list[str | bytes], list[str]]:
    """Tokens of C, with each run of strings as the bytes that it stands for, and its comments.

    Trigraphs and spliced lines count, as the standard has them, comments of both forms too.
    """
    text = re.sub(r"\?\?([=/'()!<>-])", lambda match: _TRIGRAPHS[match[1]], source).replace("\r\n", "\n")
    text = re.sub(r"\\[ \t]*\n", "", text)
    tokens: list[str | bytes] = []
    comments: list[str] = []
    at = 0
    while at < len(text):
        if text.startswith("/*", at):
            end = text.find("*/", at + 2)
            require(end >= 0, "a comment without an end", text[at:])
            comments.append(text[at + 2 : end])
            at = end + 2
        elif text.startswith("//", at):
            end = text.find("\n", at)
            comments.append(text[at + 2 : end])
            at = len(text) if end < 0 else end
        elif text[at].isspace():
            at += 1
        else:
            match = _C_TOKEN.match(text, at)
            require(match is not None, "no token of C", text[at : at + 40])
            _add(tokens, match[0])  # type: ignore[index]
            at = match.end()  # type: ignore[union-attr]
    return tokens, comments


def _add(tokens: list[str | bytes], token: str) -> None:
    if token.startswith('"') and len(token) > 1:
        content = _C_ESCAPE.sub(_of_escape, token[1:-1].encode())
        if tokens and isinstance(tokens[-1], bytes):
            content = tokens.pop() + content  # type: ignore[operator]
        tokens.append(content)
    else:
        tokens.append(token)


def _of_escape(match: re.Match[bytes]) -> bytes:
    digits = match[1]
    require(digits.isdigit(), "an escape that is not octal", match[0])
    return bytes([int(digits, 8) & 0xFF])


def shape_of_c(source: str) -> tuple[list[str], int]:
    """The tokens of C with every name of a variable, number and string the same, and how many comments there are."""
    tokens, comments = c_tokens(source)
    return ["STRING" if isinstance(token, bytes) else token for token in tokens], len(comments)


def tex_tokens(source: str) -> list[str]:
    """What TeX acts on: control sequences, characters with a meaning, and comments as ``%``."""
    found: list[str] = []
    at = 0
    while match := _TEX.search(source, at):
        at = match.end()
        if match[0] == "%":
            end = source.find("\n", at)
            at = len(source) if end < 0 else end + 1
        if match[0] != "\n":
            found.append(match[0])
        if match[0] == r"\\":
            behind = source[at:].lstrip()[:1]
            require(behind not in ("[", "*"), "an argument of the end of a row", source[at : at + 40])
    return found


class Page(HTMLParser):
    """A page as tags with the names of their attributes, and apart from them values, scripts and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.shape: list[tuple[str, ...]] = []
        self.values: list[tuple[str, str]] = []
        self.scripts: list[str] = []
        self.data: list[str] = []
        self.text = ""
        self._script = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag, with the names of its attributes."""
        self.shape.append((tag, *(name for name, _ in attrs)))
        self.values += [(name, value or "") for name, value in attrs]
        if tag in ("script", "style"):
            self._script = "data" if ("type", "application/json") in attrs else tag

    def handle_endtag(self, tag: str) -> None:
        """The end of a tag."""
        self.shape.append((f"/{tag}",))
        if tag in ("script", "style"):
            self._script = ""

    def handle_data(self, data: str) -> None:
        """Text, or what a script, a style or a data block holds."""
        if self._script == "data":
            self.data.append(data)
        elif self._script:
            self.scripts.append(data)
        else:
            self.text += data

    def handle_comment(self, data: str) -> None:
        """A comment."""
        self.shape.append(("comment", data))

    def handle_decl(self, decl: str) -> None:
        """The kind of document."""
        self.shape.append(("declaration", decl))

    def handle_pi(self, data: str) -> None:
        """An instruction to programs."""
        self.shape.append(("instruction", data))

    def unknown_decl(self, data: str) -> None:
        """A declaration of another language."""
        self.shape.append(("unknown", data))


_LINKS = re.compile(r"(#|figures/|data:image/svg\+xml;base64,)[^:]*|[^:]*\.(json|csv|db|onnx|svg|png|tex)")


def check_page(page: Page, like: Page) -> None:
    """``page`` is ``like`` another but for its text: same tags, attributes and scripts, and links that stay here."""
    for number, (got, expected) in enumerate(zip(page.shape, like.shape, strict=False)):
        require(got == expected, f"tag {number} is another", got, expected)
    require(len(page.shape) == len(like.shape), "another number of tags", page.shape[-3:])
    require(page.scripts == like.scripts, "another script or style")
    require(len(page.data) == len(like.data), "another number of data blocks")
    for block in page.data:
        require(not re.search("<[!/a-z]", block, re.IGNORECASE), "markup in a data block")
        json.loads(block)
    for name, value in page.values:
        require(not name.startswith("on"), "an attribute that is a script", name)
        if name in ("href", "src", "action", "srcset"):
            require(_LINKS.fullmatch(value) is not None, "a link that leads elsewhere", name, value)


def csv_cells(text: str) -> list[list[str]]:
    """Cells of a table, none of which a spreadsheet takes for a formula but for numbers; by any separator."""
    rows = list(csv.reader(text.splitlines(keepends=True), strict=True))
    for line in csv.reader(text.splitlines(keepends=True), delimiter=";"):
        for cell in line:
            _no_formula(cell)
    for row in rows:
        for cell in row:
            _no_formula(cell)
    return rows


def _no_formula(cell: str) -> None:
    if FORMULA.match(cell.lstrip()):
        try:
            float(cell)
        except ValueError:
            require(False, "a cell that is a formula", cell)


def check_shown(text: str) -> None:
    """A terminal shows all of ``text``: it holds no control or format character but the ends of lines."""
    steering = [one for one in text if one != "\n" and unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    require(not steering, "what steers a terminal", "".join(steering), text)
