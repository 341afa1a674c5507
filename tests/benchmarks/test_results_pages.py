"""The pages of results say what the committed databases say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("results_pages", ROOT / "benchmarks" / "results_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lu2024.md", "li2023.md"])
def test_a_page_is_what_its_database_says(name: str, pages: ModuleType) -> None:
    study, blocks = pages.PAGES[name]
    page = (ROOT / "docs" / "results" / name).read_text(encoding="utf-8")
    assert pages.written(page, blocks(pages.studies(name) / study)) == page


def test_blocks_are_replaced_and_nothing_else(pages: ModuleType) -> None:
    page = "before\n<!-- results: one -->\nold\n<!-- end -->\nbetween\n<!-- results: two -->\n<!-- end -->\nafter\n"
    found = pages.written(page, {"one": r"| \1 |", "two": "new"})
    expected = page.replace("old", r"| \1 |").replace("two -->\n", "two -->\nnew\n")
    assert found == expected
    assert pages.written(found, {"one": r"| \1 |", "two": "new"}) == found


def test_a_block_without_a_place_is_an_error(pages: ModuleType) -> None:
    with pytest.raises(ValueError, match="places"):
        pages.written("<!-- results: one -->\n<!-- end -->\n", {"two": ""})


def test_only_what_keeps_the_return_counts_as_a_cost_that_is_saved(pages: ModuleType) -> None:
    def variant(method: str, keeps: bool | None, share: float) -> dict[str, object]:
        costs = {quantity: {"relative": {"value": share}} for quantity in pages.COSTS}
        return {"recipe": method, "method": method, "keeps_90_percent": keeps, "costs": costs}

    row = {"algorithm": "ppo", "environment": "Hopper", "runtime": "onnxruntime"}
    native = {**row, "runtime": "native", "variants": [variant("ptdq", None, 0.5), variant("ptsq", None, 0.1)]}
    report = {
        "runtimes": ["onnxruntime", "native"],
        "combinations": [{**row, "variants": [variant("ptdq", True, 1.5), variant("ptsq", False, 0.1)]}, native],
    }
    lines = pages._costs(report).splitlines()
    assert lines[2] == "| onnxruntime | inference time | 1.50 (1) | – | – | – | 0 of 1 |"
    assert lines[5] == "| native | inference time | 0.50 (1) | – | – | – | 1 of 1 |"
