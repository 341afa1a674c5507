"""Text from files: what steers a terminal or cannot be seen is replaced, and what people write stays."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policypress_runtime.foreign_text import LIMIT, is_plain, plain, plain_lines, shortened

HOSTILE = (
    "\x1b[2J",
    "\x1b]0;owned\x07",
    "\x9b31m",
    "a\rb",
    "a\x00b",
    "a\u202eb",
    "a\u2066b",
    "a\u200bb",
    "a\ufeffb",
    "a\u2028b",
    "a\ud800b",
    "a\u3164b",
    "a\x7fb",
    "a\U000e0041b",
)
HARMLESS = (
    "Hopper-v4",
    "größer als 5 %",
    "倒立振子-v0",
    "prune(l2, 0.5) > int8",
    "[/red] <b> `id`",
    "a\u00a0b",
    "🤖",
    "",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_steers_a_terminal_is_replaced(text: str) -> None:
    assert not is_plain(text)
    assert is_plain(plain(text))
    assert is_plain(plain_lines(text))
    assert "?" in plain_lines(text)
    assert plain(text) != text


@pytest.mark.parametrize("text", HARMLESS)
def test_what_people_write_stays(text: str) -> None:
    assert is_plain(text)
    assert plain(text) == plain_lines(text) == text


def test_lines() -> None:
    assert plain("a\n  b\tc") == "a   b c"
    assert plain_lines("a\r\n\tb\rc") == "a\n\tb?c"
    assert not is_plain("a\nb")


@given(st.text())
def test_every_text_becomes_one_line(text: str) -> None:
    shown = plain(text, 40)
    assert len(shown) <= 40
    assert is_plain(shown)
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert plain(shown) == shown


def test_long_texts_are_cut() -> None:
    assert shortened("abc", 3) == "abc"
    assert shortened("abcd", 3) == "ab…"
    assert len(plain("Cart" * 250_000)) == LIMIT
