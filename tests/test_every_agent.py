"""Every real agent beside the repository through the whole command, without a flag."""

from __future__ import annotations

from pathlib import Path

import pytest

from policypress import compress, evaluate
from policypress.engine.store.reader import StoreReader
from policypress.report.recipe_results import read_rows

RECIPES = ("ptdq", "ptsq", "equalize > int8", "prune(l2, 0.1)", "prune(l1, 0.5) > equalize > int8")


@pytest.mark.slow
@pytest.mark.shared
def test_agent_goes_through(shared_agent: Path, tmp_path: Path) -> None:
    done = compress(shared_agent, RECIPES, output=tmp_path, episodes=3)
    assert not done.outcome.failed, [failure.message for _, failure in done.outcome.failed]
    with StoreReader(done.store) as store:
        rows = {row.name: row for row in read_rows(store, done.cells)}
        base = rows["none"].artifact
        small = rows["prune(l1, 0.5) > equalize > int8"].artifact
        assert base is not None
        assert small is not None
        assert small.packed_bytes * 9 < base.packed_bytes * 2
        assert all(len(row.returns) == 3 for row in rows.values())
        artifact = store.folder / small.path
    again = evaluate(artifact, episodes=3)
    by_seed = [row.episode_return for row in sorted(again.episodes, key=lambda row: row.seed)]
    assert by_seed == list(rows["prune(l1, 0.5) > equalize > int8"].returns)
    moved = not shared_agent.name.endswith(("-v4", "Pendulum-v1", "CartPole-v1"))
    assert any("no longer exists" in notice for notice in done.notices) == moved
