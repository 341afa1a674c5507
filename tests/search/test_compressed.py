"""What ``compress`` gives back in Python: winner, certificate, artifacts, and a table for pandas and for notebooks."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from policypress import Recipe, compress, load_agent, load_artifact
from policypress.search.found.compressed import Compressed
from policypress.search.history import SearchHistory
from policypress_runtime.errors import MissingDependencyError


def short_cartpole() -> gymnasium.Env[Any, Any]:
    """CartPole of 40 steps: as good for a test, and soon over."""
    return gymnasium.make("CartPole-v1", max_episode_steps=40)


@pytest.fixture(scope="module")
def found(own_agents: Path, tmp_path_factory: pytest.TempPathFactory) -> Compressed:
    folder = tmp_path_factory.mktemp("found")
    options: dict[str, Any] = {"executor": "debug", "costs": False, "episodes": 5, "runtime": "onnxruntime"}
    recipes = ["equalize > gptq(8)", "prune(l2, 0.9)"]
    return compress(own_agents / "dqn-CartPole-v1.zip", recipes, output=folder, env_fn=short_cartpole, **options)


def test_the_artifacts_act(found: Compressed) -> None:
    assert list(found.artifacts) == ["none", "equalize > gptq(8)", "prune(l2, 0.9)"]
    for path in found.artifacts.values():
        assert load_artifact(path, runtime="onnxruntime").act(np.zeros(4, np.float32)) in (0, 1)


def test_the_frame_has_a_row_for_the_agent_and_each_recipe(found: Compressed) -> None:
    frame = found.to_frame().set_index("recipe")
    assert set(frame.index) == {"none", "equalize > gptq(8)", "prune(l2, 0.9)"}
    assert frame.loc["none", "times_smaller"] == 1
    assert frame.loc["prune(l2, 0.9)", "times_smaller"] > 5
    assert (frame.episodes == 5).all()
    assert frame.packed_bytes.is_monotonic_decreasing
    kept = frame.loc["equalize > gptq(8)"]
    assert kept.retention_lower <= kept.retention <= kept.retention_upper


def test_nothing_is_certified_where_recipes_were_given(found: Compressed) -> None:
    assert found.winner is None
    assert found.certificate is None
    assert "nothing certified" in repr(found)


def test_the_winner_is_the_certified_one(found: Compressed) -> None:
    history = SearchHistory(
        keep=0.95,
        confidence=0.95,
        minimize="size",
        ending="certified",
        summary="certified",
        winner="equalize > gptq(8)",
        tried=(),
        attempts=(),
        deterministic=False,
        budget_s=60,
        max_episodes=10,
        episodes=10,
        elapsed_s=1,
    )
    won = replace(found, history=history)
    assert won.winner == "equalize > gptq(8)"
    assert "winner 'equalize > gptq(8)'" in repr(won)
    assert won._repr_html_().count("font-weight:bold") == 1


def test_a_notebook_shows_a_table_with_nothing_of_a_file_unescaped(found: Compressed) -> None:
    page = found._repr_html_()
    assert page.count("<tr") == 4
    assert "equalize &gt; gptq(8)" in page
    hostile = replace(found, notices=(), store=found.store)
    assert "<script" not in hostile._repr_html_()


def test_without_pandas_the_error_says_what_needs_nothing(found: Compressed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingDependencyError) as told:
        found.to_frame()
    assert "rows()" in str(told.value.hint)
    assert len(found.rows()) == 3


def test_recipes_and_agents_say_what_they_are_in_a_line(own_agents: Path) -> None:
    recipe = Recipe.parse("prune(l2, 0.3) > equalize > int8")
    assert eval(repr(recipe), {"Recipe": Recipe}) == recipe
    said = repr(load_agent(own_agents / "dqn-CartPole-v1.zip"))
    assert said.startswith("<AgentBundle: dqn, CartPole-v1")
    assert len(said) < 200
