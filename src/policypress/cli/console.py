"""Where output goes: results on stdout, everything else on stderr; progress only on a terminal."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from typing import Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.text import Text

from policypress.compression.learning import StepProgress
from policypress.engine.cell import Cell
from policypress.engine.events import (
    CellBuilt,
    CellFailed,
    CellFinished,
    CellLearning,
    CellStarted,
    CostsMeasured,
    DecisionMade,
    EpisodesPlayed,
    Event,
    PhaseStarted,
    Planned,
)
from policypress.foreign_text import plain, plain_lines

# A pipe has no width; tables are not cut there.
PIPE_WIDTH = 160
NAME_WIDTH = 40


class Screen(Console):
    """A console that shows text as it is: it knows no markup and no names of emoji, and nothing steers the terminal.

    Much of what is shown stood in files: names of environments, recipes, messages of others.
    """

    def __init__(self, **how: Any) -> None:
        super().__init__(**how, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **how: Any) -> Text:
        """A text on its way to the screen; cells of tables and titles come by here too."""
        return super().render_str(plain_lines(text), **{**how, "markup": False, "emoji": False})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The last place before the screen: for what was made a ``Text`` elsewhere."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain_lines(segment.text), segment.style)


out = Screen(width=None if sys.stdout.isatty() else PIPE_WIDTH)
err = Screen(stderr=True, soft_wrap=True)

EPISODES = "episodes"
INTERRUPTED_MESSAGE = "interrupted: finished results are kept; run the same command to continue"


def print_notices(notices: Iterable[str]) -> None:
    """Show notices, once each."""
    for notice in dict.fromkeys(notices):
        err.print(marked("note:", "yellow", notice))


def marked(word: str, style: str, text: str) -> Text:
    """``text`` after a word in colour."""
    return Text.assemble((plain_lines(word), style), " ", plain_lines(text))


def echo(text: str) -> None:
    """A line on stdout, of any length and never wrapped."""
    typer.echo(plain_lines(text))


def print_json(data: Any) -> None:
    """One JSON object on stdout; numbers that JSON cannot hold become null."""
    typer.echo(json.dumps(_finite(data), indent=2, sort_keys=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def progress_bar(*, refreshing: bool = True) -> Progress:
    """A bar on stderr that vanishes when done, and is not drawn where stderr is no terminal.

    Args:
        refreshing: redraw it from a thread, several times a second. Without, whoever moves the bar redraws it, and
            nothing disturbs what is measured in between.
    """
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        console=err,
        transient=True,
        auto_refresh=refreshing,
        disable=not err.is_terminal,
    )


class LearningBar:
    """A bar over the steps of one recipe's training; it is there from the first thing that is heard of it."""

    def __init__(self, bar: Progress, name: str) -> None:
        # Numbers are what one looks at: a long recipe must not push them off the line.
        self._bar, self._name = bar, name if len(name) <= NAME_WIDTH else name[: NAME_WIDTH - 1] + "…"
        self._task: TaskID | None = None

    def move(self, learning: StepProgress) -> None:
        """Show how far it is."""
        if self._task is None:
            self._task = self._bar.add_task(plain(self._name), total=learning.total, unit="")
        unit = f"steps, loss {learning.loss:.2g}, action error {learning.action_error:.1%}"
        self._bar.update(self._task, total=learning.total, completed=learning.done, unit=unit, refresh=True)

    def remove(self) -> None:
        """It has learned."""
        if self._task is not None:
            self._bar.remove_task(self._task)


class StudyProgress:
    """Draws events: one bar over all episodes, the cell in hand, failures as they come, then the costs.

    Beneath it is a bar for each recipe that is learning. It is called with each event.
    """

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("preparing", total=None, unit=EPISODES)
        self._phase = ""
        self._counts_cells = False
        self._learning: dict[str, LearningBar] = {}

    def __call__(self, event: Event) -> None:
        """Draw ``event``."""
        match event:
            case Planned():
                self._planned(event)
            case PhaseStarted(name):
                self._phase = f"{name}: "
                self._move(description=plain(name), total=None, completed=0)
            case DecisionMade(text):
                self._bar.console.print(Text(plain_lines(text), style="dim"))
            case CellStarted(cell):
                name = "random actions" if cell.kind == "random" else cell.recipe
                self._move(description=plain(f"{self._phase}{name}"))
            case CellLearning(cell, learning):
                name = f"  {learning.step}: {cell.recipe}"
                self._learning.setdefault(cell.key, LearningBar(self._bar, name)).move(learning)
            case CellBuilt(cell):
                self._learned(cell)
            case EpisodesPlayed(cell, episodes):
                self._move(advance=episodes)
            case CellFinished():
                # Where nothing is played, cells are counted in place of episodes.
                self._move(advance=int(self._counts_cells))
            case CellFailed(cell, failure):
                self._learned(cell)
                err.print(marked("failed:", "red", f"{cell.recipe}: {next(iter(failure.message.splitlines()), '')}"))
            case CostsMeasured(done, total):
                self._move(description="measuring cost", total=total, completed=done, unit="steps")

    def _planned(self, plan: Planned) -> None:
        self._counts_cells = plan.episodes == 0
        if self._counts_cells:
            self._move(total=plan.cells, completed=plan.done, unit="artifacts")
        else:
            self._move(total=plan.episodes, completed=plan.episodes_done, unit=EPISODES)

    def _move(self, **changes: Any) -> None:
        self._bar.update(self._task, **changes, refresh=True)

    def _learned(self, cell: Cell) -> None:
        done = self._learning.pop(cell.key, None)
        if done is not None:
            done.remove()
