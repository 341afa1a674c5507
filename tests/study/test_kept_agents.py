"""Agents that were trained before are found by what trained them, and not trained again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_study import small_study

from policypress.engine.executors.debug_executor import DebugExecutor
from policypress.engine.store.reader import StoreReader
from policypress.engine.tasks import agents as agent_tasks
from policypress.engine.tasks.prepared_agent import place_of
from policypress.study.kept_agents import files_of, keep, kept_agents
from policypress.study.training_identity import training_identity
from policypress.study.whole_study import Study, run_whole_study
from policypress_runtime.errors import StudyInputError


def _returns(study: Study) -> dict[str, tuple[float, ...]]:
    with StoreReader(study.store) as store:
        return {row.key: tuple(e.episode_return for e in store.episodes(row.key)) for row in store.cells()}


def test_a_kept_agent_is_taken_and_its_results_are_the_same(
    done_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "second").mkdir()
    first = done_study
    named = [(agent.identity, agent.name) for agent in first.plan.agents.values() if agent.training is not None]
    places = keep(first.folder, [*named, ("0" * 64, "never-trained")], tmp_path / "agents")
    assert [place.name for place in places] == ["ppo-CartPole-v1-128-s0", "ppo-CartPole-v1-128-s1"]
    assert set(kept_agents(tmp_path / "agents")) >= {identity for identity, _ in named}
    assert not any("materials" in name for name in files_of(places[0]))

    def refused(payload: agent_tasks.AgentPayload) -> None:
        raise AssertionError("it is trained again")

    monkeypatch.setattr(agent_tasks, "_train", refused)
    second = small_study(tmp_path / "second", trained="../agents")
    assert second.left().training_s == 0
    outcome = run_whole_study(second, DebugExecutor())
    assert not outcome.failed
    assert _returns(second) == _returns(first)
    with StoreReader(second.store) as store:
        assert len(store.trainings()) == 2


def _as_trained(study_folder: Path, spec: dict[str, Any], **record: Any) -> str:
    """Leave what a training of ``spec`` leaves in a study's folder; its identity."""
    identity = training_identity(spec)
    place = place_of(study_folder, identity)
    (place / "agent").mkdir(parents=True)
    (place / "agent.zip").write_bytes(identity.encode())
    (place / "agent" / "training.json").write_text(json.dumps({"spec": spec, **record}))
    return identity


def _spec(**more: Any) -> dict[str, Any]:
    return {"algorithm": "ppo", "environment": {"id": "Hopper-v4"}, "steps": 9, "seed": 0, **more}


def test_agents_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    identities = [_as_trained(tmp_path / "study", _spec(hyperparameters={"gamma": gamma})) for gamma in (0.9, 0.99)]
    places = keep(tmp_path / "study", [(identity, "ppo") for identity in identities], tmp_path / "agents")
    assert [place.name for place in places] == [f"ppo-{identity[:8]}" for identity in identities]
    assert kept_agents(tmp_path / "agents") == dict(zip(identities, map(str, places), strict=True))


def test_an_agent_of_another_training_is_not_overwritten(tmp_path: Path) -> None:
    first, second, third = (_as_trained(tmp_path / name, _spec(gamma=i)) for i, name in enumerate("abc"))
    keep(tmp_path / "a", [(first, "ppo")], tmp_path / "agents")
    (tmp_path / "b" / "agents" / third[:16]).mkdir()
    for name in ("agent.zip", "agent"):
        (place_of(tmp_path / "c", third) / name).rename(place_of(tmp_path / "b", third) / name)
    named = [(third, "new"), (second, "ppo")]
    with pytest.raises(StudyInputError, match=r"another training[\s\S]*--to"):
        keep(tmp_path / "b", named, tmp_path / "agents")
    assert list(kept_agents(tmp_path / "agents")) == [first]
    assert len(keep(tmp_path / "b", named, tmp_path / "others")) == 2  # as the hint says


def test_an_agent_that_is_kept_under_an_older_name_stays_there(tmp_path: Path) -> None:
    identity = _as_trained(tmp_path / "study", _spec())
    (older,) = keep(tmp_path / "study", [(identity, "ppo-older")], tmp_path / "agents")
    assert keep(tmp_path / "study", [(identity, "ppo")], tmp_path / "agents") == (older,)


def test_an_agent_is_found_by_the_kernels_that_it_learned_with(tmp_path: Path) -> None:
    def kept(name: str, **record: Any) -> set[str]:
        identity = _as_trained(tmp_path / name, _spec(), **record)
        keep(tmp_path / name, [(identity, "ppo")], tmp_path / name / "kept")
        return set(kept_agents(tmp_path / name / "kept")) - {identity}

    pinned = training_identity(_spec(kernels="avx2"))
    assert kept("whole", kernels="avx2", resumed=[]) == {pinned}
    assert kept("other", kernels="amx", resumed=[]) == {training_identity(_spec(kernels="amx"))}
    assert kept("resumed", kernels="avx2", resumed=[{"step": 4, "exact": True}]) == set()
    assert kept("torch", resumed=[]) == set()
    # What is pinned stands before what happened to be so.
    exact = _as_trained(tmp_path / "pinned", _spec(kernels="avx2"), kernels="avx2", resumed=[])
    (place,) = keep(tmp_path / "pinned", [(exact, "another")], tmp_path / "whole" / "kept")
    assert place.name == "ppo"  # it is that agent


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
