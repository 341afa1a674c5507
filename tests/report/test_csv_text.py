"""CSV that a spreadsheet opens: numbers stay numbers, and no text is a formula."""

from __future__ import annotations

import csv
import io

import pytest

from policypress.report.csv_text import csv_of


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


@pytest.mark.parametrize(
    "text",
    [
        "=cmd|' /C calc'!A0",
        "\uff1d1+1",
        "\uff20x",
        "+1+1",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        " =1",
        "|calc",
        "%x",
        "\x00=1",
        "\ufeff=1",
    ],
)
def test_no_text_is_a_formula(text: str) -> None:
    ((cell,),) = read(csv_of([text], []))
    assert cell.lstrip()[0] not in "=+-@|%\t\r\uff1d\uff20"
    assert cell.isprintable()


@pytest.mark.parametrize("text", ["a;=1+1", "a; @x;b", 'a;"=1+1', 'a";" =1;"', ";\uff0b1", "x;\t=1", "=1;=2"])
def test_no_text_is_a_formula_where_a_semicolon_ends_cells(text: str) -> None:
    for line in csv.reader(io.StringIO(csv_of(["a", "b"], [["x", text], [text, 1]])), delimiter=";"):
        for cell in line:
            assert cell.lstrip(' "')[:1] not in ("=", "+", "-", "@", "|", "%", "\uff0b"), cell


def test_what_is_usual_stays() -> None:
    row = ["prune(l2, 0.5) > int8", "Hopper-v4", "a, \"b\" 'c'", "–", -1.5, 3, True, None, float("inf")]
    assert read(csv_of(["a"] * len(row), [row]))[1] == [*row[:4], "-1.5", "3", "True", "", "inf"]


def test_a_text_is_one_cell_of_one_line() -> None:
    assert read(csv_of(["name"], [["a\r\nb;c"], ["\x1b]0;x\x07"]])) == [["name"], ["a b;c"], ["?]0;x?"]]
