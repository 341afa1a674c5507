"""A whole study: trained and given agents, pressed and played; resumed it is the same, and mistakes are named."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from small_study import small_study

from policypress.engine.executors.debug_executor import DebugExecutor
from policypress.engine.outcome import NEEDED_FAILED
from policypress.engine.store.reader import StoreReader
from policypress.engine.store.store import Store
from policypress.engine.tasks import agents as agent_tasks
from policypress.engine.tasks.prepared_agent import place_of
from policypress.study.estimate import NATIVE_STEPS_PER_S
from policypress.study.status import study_status
from policypress.study.whole_study import Study, run_whole_study
from policypress_runtime.errors import StoreError, StudyInputError


def returns(study: Study) -> dict[str, tuple[float, ...]]:
    with StoreReader(study.store) as store:
        return {row.key: tuple(e.episode_return for e in store.episodes(row.key)) for row in store.cells()}


class Stopping(DebugExecutor):
    """Is interrupted after some outcomes."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def outcomes(self):  # type: ignore[no-untyped-def]
        for outcome in super().outcomes():
            if self.after == 0:
                raise KeyboardInterrupt
            self.after -= 1
            yield outcome


def test_a_study_is_done_whole_and_resumes_to_the_same(done_study: Study, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    study = done_study
    whole = returns(study)
    assert all(len(played) == 6 for cell in study.plan.cells if cell.kind != "agent" for played in [whole[cell.key]])
    with StoreReader(study.store) as store:
        trainings = store.trainings()
        assert len(trainings) == 2
        assert all(record["steps"] == 128 for record in trainings.values())
    interrupted = small_study(tmp_path / "b")
    for after in (1, 2, 5, 9):
        parts = run_whole_study(interrupted, Stopping(after))
        assert parts.interrupted or not parts.left
    outcome = run_whole_study(interrupted, DebugExecutor())
    assert not outcome.left
    assert returns(interrupted) == whole


def test_what_is_done_is_not_done_again_and_what_is_lost_is(done_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    study = done_study
    whole = returns(study)
    prepared: list[str] = []
    plain = agent_tasks.prepare

    def counted(payload: agent_tasks.AgentPayload):  # type: ignore[no-untyped-def]
        prepared.append(payload.workplace)
        return plain(payload)

    monkeypatch.setattr(agent_tasks, "prepare", counted)
    counted.__module__, counted.__qualname__ = "policypress.engine.tasks.agents", "prepare"
    run_whole_study(study, DebugExecutor())
    assert prepared == []
    identity = next(agent.identity for agent in study.plan.agents.values() if agent.training is not None)
    (place_of(study.folder, identity) / "agent.zip").write_bytes(b"damaged")
    shutil.rmtree(study.folder / "artifacts")
    run_whole_study(study, DebugExecutor())
    assert prepared == [], "results do not need the files any more"
    variant = next(cell for cell in study.plan.of_agent(identity) if cell.kind == "variant")
    with Store(study.store) as store:
        store.reopen(variant.key)
    outcome = run_whole_study(study, DebugExecutor())
    assert len(prepared) == 1
    assert len(outcome.done) == len(study.plan.cells)
    assert returns(study) == whole


def test_a_failed_agent_fails_its_cells_alone_and_a_retry_mends_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = small_study(tmp_path)
    plain = agent_tasks.agent_in_environment

    def broken(source: str, **options: object):  # type: ignore[no-untyped-def]
        if "dqn" in source:
            raise StudyInputError("The agent is gone.", got=source)
        return plain(source, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(agent_tasks, "agent_in_environment", broken)
    outcome = run_whole_study(study, DebugExecutor())
    assert [cell.kind for cell, _ in outcome.failed] == ["agent", "baseline", "variant"]
    kinds = {failure.kind for _, failure in outcome.failed}
    assert kinds == {"StudyInputError", NEEDED_FAILED}
    assert len(outcome.done) == len(study.plan.cells) - 3
    assert study_status(study).counts == {"done": len(outcome.done), "running": 0, "failed": 3, "pending": 0}
    monkeypatch.setattr(agent_tasks, "agent_in_environment", plain)
    again = run_whole_study(study, DebugExecutor())
    assert len(again.failed) == 3
    mended = run_whole_study(study, DebugExecutor(), retry_failed=True)
    assert not mended.failed
    assert len(mended.done) == len(study.plan.cells)


def test_two_studies_do_not_share_a_folder(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    with Store(study.store) as store:
        store.set_note("study", "another")
        with pytest.raises(StoreError, match="Another process"):
            run_whole_study(study, DebugExecutor())
    with pytest.raises(StudyInputError, match="another study"):
        run_whole_study(study, DebugExecutor())


def test_the_estimate_shrinks_to_nothing(done_study: Study, tmp_path: Path) -> None:
    (tmp_path / "another").mkdir()
    study = small_study(tmp_path / "another")
    before = study.left()
    assert before.cells == len(study.plan.cells)
    assert before.training_s == pytest.approx(2 * 128 / NATIVE_STEPS_PER_S["ppo"])
    after = done_study.left()
    assert (after.cells, after.cpu_s, after.disk_bytes) == (0, 0.0, 0)


def test_the_store_names_the_study(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    run_whole_study(study, Stopping(0))
    connection = sqlite3.connect(study.store)
    notes = dict(connection.execute("SELECT name, value FROM meta").fetchall())
    connection.close()
    assert notes["study"] == "small"
    assert '"name":"small"' in notes["spec_json"]
