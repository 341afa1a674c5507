"""Agents that were trained before are found by what trained them, and not trained again."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_study import small_study

from policypress.errors import StudyInputError
from policypress.study import agent_tasks
from policypress.study.debug_executor import DebugExecutor
from policypress.study.kept_agents import files_of, keep, kept_agents
from policypress.study.reader import StoreReader
from policypress.study.whole_study import Study, run_whole_study


def _returns(study: Study) -> dict[str, tuple[float, ...]]:
    with StoreReader(study.store) as store:
        return {row.key: tuple(e.episode_return for e in store.episodes(row.key)) for row in store.cells()}


def test_a_kept_agent_is_taken_and_its_results_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    first = small_study(tmp_path / "first")
    run_whole_study(first, DebugExecutor())
    named = [(agent.identity, agent.name) for agent in first.plan.agents.values() if agent.training is not None]
    places = keep(first.folder, [*named, ("0" * 64, "never-trained")], tmp_path / "agents")
    assert [place.name for place in places] == ["ppo-CartPole-v1-128-s0", "ppo-CartPole-v1-128-s1"]
    assert set(kept_agents(tmp_path / "agents")) == {identity for identity, _ in named}
    assert not any("materials" in name for name in files_of(places[0]))

    def refused(payload: agent_tasks.AgentPayload) -> None:
        raise AssertionError("it is trained again")

    monkeypatch.setattr(agent_tasks, "_train", refused)
    second = small_study(tmp_path / "second", trained="../agents")
    assert second.left().training_s == 0
    outcome, _ = run_whole_study(second, DebugExecutor())
    assert not outcome.failed
    assert _returns(second) == _returns(first)
    with StoreReader(second.store) as store:
        assert len(store.trainings()) == 2


def test_no_folder_and_a_broken_record_are_named(tmp_path: Path) -> None:
    with pytest.raises(StudyInputError, match="no folder"):
        kept_agents(tmp_path / "none")
    place = tmp_path / "agents" / "one"
    (place / "agent").mkdir(parents=True)
    (place / "agent.zip").write_bytes(b"")
    assert kept_agents(tmp_path / "agents") == {}
    (place / "agent" / "training.json").write_text("{}")
    with pytest.raises(StudyInputError, match="record"):
        kept_agents(tmp_path / "agents")
