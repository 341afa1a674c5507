"""Bars on a terminal: one for the study, and one for each recipe that learns, as long as it does."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console
from rich.progress import Progress

from policypress.cli.console import LearningBar, StudyProgress, progress_bar
from policypress.compression.learning import Learning
from policypress.records import EvaluationProtocol
from policypress.study.cell import Cell
from policypress.study.progress import LearningProgress
from policypress.study.tasks import Failure

DAGGER = "distill(dagger, hidden=[8,8])"
FIRST = Cell("variant", EvaluationProtocol(0), None, "agent", DAGGER, "1")
SECOND = replace(FIRST, recipe="distill(cloning)", recipe_hash="2")
HALF = Learning("distill", 12_000, 24_000, 0.00123, 0.0156)


@pytest.fixture
def bar() -> Progress:
    drawn = progress_bar(refreshing=False)
    drawn.live.console = Console(file=io.StringIO(), force_terminal=True, width=160)
    return drawn


def test_each_recipe_that_learns_has_a_bar_of_its_own(bar: Progress) -> None:
    progress = StudyProgress(bar)
    assert isinstance(progress, LearningProgress)
    progress.learning(FIRST, HALF)
    progress.learning(SECOND, HALF)
    progress.learning(FIRST, replace(HALF, done=18_000))
    assert [task.completed for task in bar.tasks] == [0, 18_000, 12_000]
    told = bar.tasks[1]
    assert told.total == 24_000
    assert told.fields["unit"] == "steps, loss 0.0012, action error 1.6%"
    # Square brackets are the recipe's, not markup.
    assert "hidden=\\[8,8]" in told.description


def test_the_bar_goes_when_the_recipe_has_learned_or_failed(bar: Progress) -> None:
    progress = StudyProgress(bar)
    for cell in (FIRST, SECOND):
        progress.learning(cell, HALF)
    progress.advanced(FIRST, 0)
    assert len(bar.tasks) == 2
    progress.failed(SECOND, Failure("NetworkError", "No."))
    assert len(bar.tasks) == 1
    progress.advanced(FIRST, 5)
    assert bar.tasks[0].completed == 5


def test_a_long_recipe_leaves_room_for_the_numbers(bar: Progress) -> None:
    shown = LearningBar(bar, "prune(obs, 0.8) > equalize > distill(dagger, w=8, a=8)")
    shown.move(HALF)
    assert bar.tasks[0].description == "prune(obs, 0.8) > equalize > distill(da…"
    shown.remove()
    assert not bar.tasks
