"""Cells of a study: complete, each once, and each after the one it needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_study import ROOT, small_study

from policypress.study.agents import planned_agents
from policypress.study.spec import read_spec
from policypress.study.whole_study import open_study

STUDIES = ROOT / "papers" / "lu2024" / "studies"


def test_every_agent_has_its_cells_and_the_environment_one(tmp_path: Path) -> None:
    plan = small_study(tmp_path).plan
    assert len(plan.agents) == 3
    kinds = [cell.kind for cell in plan.cells]
    assert (kinds.count("agent"), kinds.count("baseline"), kinds.count("random")) == (3, 3, 1)
    assert kinds.count("variant") == 2 * 2 + 1
    assert len({cell.key for cell in plan.cells}) == len(plan.cells)
    assert plan.episodes() == 6 * (3 + 1 + 5)


def test_cells_follow_the_one_they_need(tmp_path: Path) -> None:
    plan = small_study(tmp_path).plan
    positions = {cell.key: index for index, cell in enumerate(plan.cells)}
    for cell in plan.cells:
        needed = plan.needs.get(cell.key)
        assert (needed is None) == (cell.kind in ("agent", "random"))
        assert needed is None or positions[needed] < positions[cell.key]


def test_each_runtime_has_its_own_cells_but_for_random_actions(tmp_path: Path) -> None:
    plan = small_study(tmp_path, evaluation={"episodes": 2, "runtimes": ["onnxruntime", "native"]}).plan
    runtimes = [cell.protocol.runtime for cell in plan.cells if cell.kind == "baseline"]
    assert sorted(runtimes) == ["native"] * 3 + ["onnxruntime"] * 3
    assert [cell.protocol.runtime for cell in plan.cells if cell.kind == "random"] == [""]


@pytest.mark.parametrize("path", sorted(ROOT.glob("papers/*/studies/*.yml")), ids=lambda path: path.stem)
def test_the_studies_of_the_repository_can_be_planned(path: Path) -> None:
    study = open_study(path)
    left = study.left()
    assert study.spec.name == path.stem
    assert 0 < left.cells <= len(study.plan.cells)
    assert left.disk_bytes > 0


def test_a_recipe_that_learns_is_expected_to_take_longer(tmp_path: Path) -> None:
    quick, slow = (
        small_study(tmp_path, recipes=[recipe]).left().cpu_s
        for recipe in ("equalize > int8", "equalize > distill(dagger, w=8, a=8)")
    )
    assert slow > quick + 100


def test_agents_that_were_trained_sparse_are_pruned_in_the_paper_s_study() -> None:
    agents = planned_agents(read_spec(STUDIES / "lu2024.yml"), STUDIES)
    sparse = [agent for agent in agents if agent.label == "sparse"]
    assert len(sparse) == 5 * 5 * 10
    assert {agent.training and agent.training["sparse"]["alpha"] for agent in sparse} == {4}
    assert {len(agent.recipes) for agent in sparse} == {28}
