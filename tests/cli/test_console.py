"""Bars on a terminal: one for the study, and one for each recipe that learns, as long as it does."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from policypress.cli.console import echo, marked, print_json, progress_bar
from policypress.cli.screen import Screen
from policypress.cli.study_progress import LearningBar, StudyProgress
from policypress.compression.learning import StepProgress
from policypress.engine.cells.cell import Cell
from policypress.engine.events import (
    CellBuilt,
    CellFailed,
    CellLearning,
    CellStarted,
    DecisionMade,
    EpisodesPlayed,
    PhaseStarted,
)
from policypress.engine.tasks.task import Failure
from policypress.records import EvaluationProtocol
from policypress_runtime.foreign_text import is_plain, plain_lines

DAGGER = "distill(dagger, hidden=[8,8])"
FIRST = Cell("variant", EvaluationProtocol(0), None, "agent", DAGGER, "1")
SECOND = replace(FIRST, recipe="distill(cloning)", recipe_hash="2")
HALF = StepProgress("distill", 12_000, 24_000, 0.00123, 0.0156)


@pytest.fixture
def bar() -> Progress:
    drawn = progress_bar(refreshing=False)
    drawn.live.console = Console(file=io.StringIO(), force_terminal=True, width=160)
    return drawn


def test_each_recipe_that_learns_has_a_bar_of_its_own(bar: Progress) -> None:
    progress = StudyProgress(bar)
    progress(CellLearning(FIRST, HALF))
    progress(CellLearning(SECOND, HALF))
    progress(CellLearning(FIRST, replace(HALF, done=18_000)))
    assert [task.completed for task in bar.tasks] == [0, 18_000, 12_000]
    told = bar.tasks[1]
    assert told.total == 24_000
    assert told.fields["unit"] == "steps, loss 0.0012, action error 1.6%"
    # Square brackets are the recipe's, not markup.
    assert "hidden=[8,8]" in told.description


def test_the_bar_goes_when_the_recipe_has_learned_or_failed(bar: Progress) -> None:
    progress = StudyProgress(bar)
    for cell in (FIRST, SECOND):
        progress(CellLearning(cell, HALF))
    progress(CellBuilt(FIRST))
    assert len(bar.tasks) == 2
    progress(CellFailed(SECOND, Failure("NetworkError", "No.")))
    assert len(bar.tasks) == 1
    progress(EpisodesPlayed(FIRST, 5))
    assert bar.tasks[0].completed == 5


def test_a_long_recipe_leaves_room_for_the_numbers(bar: Progress) -> None:
    shown = LearningBar(bar, "prune(obs, 0.8) > equalize > distill(dagger, w=8, a=8)")
    shown.move(HALF)
    assert bar.tasks[0].description == "prune(obs, 0.8) > equalize > distill(da…"
    shown.remove()
    assert not bar.tasks


HOSTILE = (
    ("X[/red]-v1", "X[/red]-v1"),
    ("X\\[/b]-v1", "X\\[/b]-v1"),
    ("[link=https://example.org]here[/link]", "[link=https://example.org]here[/link]"),
    ("[", "["),
    ("\\", "\\"),
    (":skull: [bold]", ":skull: [bold]"),
    ("\x1b[2Jgone", "?[2Jgone"),
    ("\x1b]0;owned\x07", "?]0;owned?"),
    ("\x1b]8;;http://a\x1b\\b", "?]8;;http://a?\\b"),
    ("a\rb", "a?b"),
    ("a\u202eb\u2066", "a?b?"),
    ("a\x08b\x9bc", "a?b?c"),
)


@pytest.fixture
def screen() -> Screen:
    return Screen(file=io.StringIO(), width=120)


def shown(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


@pytest.mark.parametrize(("text", "plain"), HOSTILE)
def test_text_of_files_is_text_wherever_it_is_shown(text: str, plain: str, screen: Screen) -> None:
    screen.print(text)
    screen.print(Text(text))
    screen.print(marked("error:", "red", text))
    screen.print(marked(text, "red", ""))
    screen.print(text, style="yellow")
    table = Table(text, box=None, pad_edge=False, title=text)
    table.add_row(text)
    table.add_row(Text(text, style="red"))
    screen.print(table)
    lines = [line.strip() for line in shown(screen).splitlines()]
    # Of a text that was made elsewhere, rich itself leaves the carriage return, the bell and their like out.
    made = plain_lines("".join(c for c in text if c not in "\a\b\v\f\r"))
    assert lines == [plain, made, f"error: {plain}", plain, plain, plain, plain, plain, made]


@pytest.mark.parametrize(("text", "plain"), HOSTILE)
def test_bars_show_text_as_it_is(text: str, plain: str) -> None:
    drawn = progress_bar(refreshing=False)
    drawn.live.console = Screen(file=io.StringIO(), force_terminal=True, width=160, color_system=None)
    drawn.disable = False
    progress = StudyProgress(drawn)
    with drawn:
        progress(CellStarted(replace(FIRST, recipe=text)))
        progress(PhaseStarted(text))
        progress(DecisionMade(text))
        progress(CellLearning(replace(FIRST, recipe=text), HALF))
        progress(CellFailed(replace(FIRST, recipe=text), Failure("NetworkError", text)))
    written = shown(drawn.console)
    assert plain in written
    assert "]0;" not in written.replace("?]0;", "")
    assert "[2Jgone" not in written.replace("?[2Jgone", "")
    assert all(is_plain(task.description) for task in drawn.tasks)


@pytest.mark.parametrize(("text", "plain"), HOSTILE)
def test_plain_output(text: str, plain: str, capsys: pytest.CaptureFixture[str]) -> None:
    echo(text)
    assert capsys.readouterr().out == plain + "\n"
    print_json({text: text})
    told = capsys.readouterr().out
    assert told.isascii()
    assert not set(told) & set("\x1b\r\x07\x08")
