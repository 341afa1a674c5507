"""Cells of a study: complete, each once, and each after the one it needs."""

from __future__ import annotations

from pathlib import Path

from small_study import small_study


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
