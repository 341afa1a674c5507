"""The model card of an output folder: what hubs read, escaped, and never in place of somebody else's README."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from policypress.engine.store.reader import StoreReader
from policypress.report.card import CARD_NAME, card, write_card
from policypress.report.folder import Deployment, write_folder
from policypress.report.results import Results, read_results
from policypress_runtime.contract import EnvironmentSpec

MakeStore = Callable[..., tuple[Path, dict[str, str]]]
TYPED = Deployment({}).lines()


@pytest.fixture
def results(make_store: MakeStore) -> Results:
    path, cells = make_store()
    with StoreReader(path) as store:
        return read_results(store, cells, {})


def front_matter(text: str) -> dict[str, object]:
    found = yaml.safe_load(re.split(r"^---$", text, flags=re.MULTILINE)[1])
    assert isinstance(found, dict)
    return found


def test_a_hub_finds_what_was_measured(results: Results) -> None:
    text = card(results, TYPED)
    assert text is not None
    assert results.winner is not None
    assert results.environment is not None
    told = front_matter(text)
    (entry,) = told["model-index"]  # type: ignore[misc]
    (result,) = entry["results"]  # type: ignore[index]
    assert result["dataset"]["type"] == results.environment.id
    mean = float(result["metrics"][0]["value"].split()[0])
    assert mean == pytest.approx(sum(results.winner.returns) / len(results.winner.returns), abs=0.01)
    assert results.winner.name in text
    assert "Nothing is certified" in text
    assert all(line in text for line in TYPED)


def test_text_of_a_file_stays_text(results: Results) -> None:
    hostile = "X-v0\n---\n![a](http://b) <script> `c` ```"
    text = card(replace(results, environment=EnvironmentSpec(hostile)), TYPED)
    assert text is not None
    told = front_matter(text)
    assert "library_name" in told
    body = re.split(r"^---$", text, flags=re.MULTILINE)[2]
    assert "<script>" not in body
    assert "![a]" not in body


def test_the_folder_has_it_and_loses_it_with_the_winner(make_store: MakeStore) -> None:
    path, cells = make_store()
    with StoreReader(path) as store:
        results = read_results(store, cells, {})
        write_folder(results, store, Deployment({}))
    page = path.parent / CARD_NAME
    first = page.read_text()
    assert first.startswith("---")
    write_card(results, path.parent, TYPED)
    assert page.read_text() == first
    write_card(results, path.parent, ())
    assert not page.exists()


def test_a_readme_of_the_user_is_left_alone(results: Results, tmp_path: Path) -> None:
    page = tmp_path / CARD_NAME
    page.write_text("# My project\n")
    write_card(results, tmp_path, TYPED)
    write_card(results, tmp_path, ())
    assert page.read_text() == "# My project\n"


def test_a_link_is_not_followed(results: Results, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("---\n")
    (tmp_path / CARD_NAME).symlink_to("elsewhere")
    write_card(results, tmp_path, TYPED)
    assert (tmp_path / "elsewhere").read_text() == "---\n"
