"""What tasks tell on their way, from this process, from another, and to whom it is passed on."""

from __future__ import annotations

from pathlib import Path

import pytest
import synthetic_study as synthetic
from synthetic_study import SyntheticWorker, baseline, variant

from policypress.compression.learning import StepProgress
from policypress.engine import notes
from policypress.engine.cells.cell import Cell
from policypress.engine.events import CellLearning, Event, ignore
from policypress.engine.executors.debug_executor import DebugExecutor
from policypress.engine.executors.executor import Executor
from policypress.engine.executors.local_executor import LocalExecutor
from policypress.engine.notes import Note, heard_by, on_progress
from policypress.engine.plan import Plan
from policypress.engine.scheduler import run_cells
from policypress.engine.store.store import Store
from policypress.engine.tasks.task import Task, perform

HALF = StepProgress("distill", 50, 100, 0.1, 0.02)


def test_nobody_hears_where_nobody_listens() -> None:
    heard: list[Note] = []
    on_progress(HALF)
    with heard_by("a", heard.append), heard_by("b", None):
        on_progress(HALF)
    on_progress(HALF)
    assert heard == []


def test_the_innermost_listener_hears_and_then_the_outer_one_again() -> None:
    outer: list[Note] = []
    inner: list[Note] = []
    with heard_by("a", outer.append):
        with heard_by("b", inner.append):
            on_progress(HALF)
        on_progress(HALF)
    on_progress(HALF)
    assert [note.key for note in inner] == ["b"]
    assert [note.key for note in outer] == ["a"]


def test_after_a_task_that_failed_nobody_listens() -> None:
    heard: list[Note] = []
    assert perform(Task("a", synthetic.tell_and_fail, HALF), heard.append).failure is not None
    on_progress(HALF)
    assert heard == [Note("a", HALF)]


@pytest.mark.parametrize("jobs", [0, 1, 2])
def test_notes_come_before_the_outcome_and_disturb_none(jobs: int) -> None:
    heard: list[Note] = []
    executor: Executor = LocalExecutor(jobs) if jobs else DebugExecutor()
    with executor:
        executor.listener = heard.append
        for number in range(3):
            executor.submit(Task(str(number), synthetic.tell_twice, HALF))
        assert sorted(outcome.value for outcome in executor.outcomes()) == ["told"] * 3
        assert sorted(note.key for note in heard) == ["0", "0", "1", "1", "2", "2"]
        assert {note.progress for note in heard} == {HALF}
        executor.listener = None
        executor.submit(Task("unheard", synthetic.tell_twice, HALF))
        assert [outcome.value for outcome in executor.outcomes()] == ["told"]
        assert len(heard) == 6


@pytest.mark.parametrize("listens", [True, False])
def test_the_scheduler_passes_them_on_with_their_cell(listens: bool, tmp_path: Path) -> None:
    heard: list[Event] = []
    cells = [baseline(2), variant("ptdq", 2)]
    executor = DebugExecutor()
    with Store(tmp_path / "study.db") as store:
        done = run_cells(Plan(tuple(cells)), TellingWorker(), store, executor, heard.append if listens else ignore)
    assert len(done.done) == 2
    learning = [event for event in heard if isinstance(event, CellLearning)]
    assert learning == ([CellLearning(cell, HALF) for cell in cells] if listens else [])
    assert executor.listener is None


class TellingWorker(SyntheticWorker):
    """Its builds tell how far they are."""

    def build(self, cell: Cell) -> Task | None:
        task = super().build(cell)
        assert task is not None
        return Task(task.key, synthetic.tell_and_build, (HALF, task.function, task.payload))


def test_the_module_is_light() -> None:
    """Reports read the study's progress without torch."""
    assert "torch" not in vars(notes)
