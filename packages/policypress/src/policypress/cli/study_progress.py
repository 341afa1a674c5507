"""Progress bars of compression and training; apart from the console, because events import the engine."""

from __future__ import annotations

from typing import Any

from rich.progress import Progress, TaskID
from rich.text import Text

from policypress.cli.console import EPISODES, marked
from policypress.cli.screen import err
from policypress.compression.learning import StepProgress
from policypress.engine.cells.cell import Cell
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
from policypress_runtime.foreign_text import plain, plain_lines

NAME_WIDTH = 40


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
