"""A search on recorded observations alone: the smallest within a stated action error, and no word about return."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policypress import compress
from policypress.records import ArtifactRecord
from policypress.search import by_action_error
from policypress.search.by_action_error import in_words, smallest_within, untrained_recipes
from policypress.search.ladders import Family
from policypress.search.options import CompressOptions
from policypress_runtime.errors import StudyInputError

BASE = ArtifactRecord("none", "h", "p", "s", 1000, 900, 200, 200, 0.0, 0.0, 0.0, 0.0, 0.1)


def of(name: str, packed: int, error: float | None) -> ArtifactRecord:
    return replace(BASE, recipe=name, packed_bytes=packed, action_error=error)


def test_the_smallest_within_the_error_that_is_smaller_than_the_agent() -> None:
    records = {"none": BASE, "a": of("a", 300, 0.004), "b": of("b", 200, 0.02), "c": of("c", 950, 0.0)}
    records["d"] = of("d", 100, None)
    assert smallest_within(records, 0.01) == "a"
    assert smallest_within(records, 0.05) == "b"
    assert smallest_within(records, 0.001) is None
    assert "3.0 times smaller" in in_words(records, 0.01)
    assert "Nothing is claimed of its return" in in_words(records, 0.01)
    assert "Nothing smaller than the agent" in in_words(records, 0.001)


def test_its_recipes_take_no_gradient_steps() -> None:
    recipes = untrained_recipes()
    assert "equalize > gptq(8)" in recipes
    assert not [text for text in recipes if "distill" in text or "qat" in text]


def test_recorded_observations_alone_get_a_search(
    own_agents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = (Family("int8", "equalize > int8", (8,)), Family("norm", "prune(l2, {}) > equalize > int8", (0.9,)))
    monkeypatch.setattr(by_action_error, "families", lambda *, trained: table)
    logged = tmp_path / "logged.npz"
    np.savez(logged, observations=np.random.default_rng(0).normal(0, 0.1, (200, 4)).astype(np.float32))
    agent = own_agents / "dqn-CartPole-v1.zip"
    done = compress(
        agent, output=tmp_path, observations=logged, max_action_error=0.2, executor="debug", costs=False, jobs=1
    )
    assert done.history is None
    assert not done.outcome.failed
    assert "The smallest with an action error of at most 20.000% is" in done.notices[0]
    assert set(done.cells) == {"none", "equalize > int8", "prune(l2, 0.9) > equalize > int8"}


def test_the_error_has_to_be_said_and_only_there() -> None:
    with pytest.raises(StudyInputError, match="--max-action-error"):
        CompressOptions(observations="logged.npz")
    CompressOptions(observations="logged.npz", max_action_error=0.01)
    with pytest.raises(StudyInputError, match="for a search on recorded observations"):
        CompressOptions(max_action_error=0.01)
    with pytest.raises(StudyInputError, match="is a share"):
        CompressOptions(observations="logged.npz", max_action_error=1.5)
