"""The chart of README is drawn from the tables of docs/results/, and says what they say."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from benchmarks import headline_chart


def test_the_chart_is_what_the_tables_say() -> None:
    assert headline_chart.CHART.read_text() == headline_chart.chart()


def test_every_recipe_of_the_chart_stands_in_it_with_its_interval() -> None:
    texts = [one.text or "" for one in ET.fromstring(headline_chart.chart()).iter("{http://www.w3.org/2000/svg}title")]
    for recipe in (*headline_chart.PLAIN_INT8, *headline_chart.PLAIN_PRUNING, *headline_chart.OURS):
        assert sum(text.startswith(f"{recipe}: ") and "[" in text for text in texts) == 1, recipe


def test_an_agent_that_is_not_in_the_tables_is_no_chart() -> None:
    page = (headline_chart.DOCS / "results" / "recipes.md").read_text()
    assert headline_chart.of_recipes(page, "nobody") == {}
    with pytest.raises(StopIteration):
        headline_chart.certified(page, "nobody")


def test_larger_is_further_right_and_more_is_higher() -> None:
    assert headline_chart.x_of(2) < headline_chart.x_of(60)
    assert headline_chart.y_of(100) < headline_chart.y_of(50)
