"""Where output goes: results on stdout, everything else on stderr; progress only on a terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer

from policypress_runtime.foreign_text import plain_lines

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.text import Text


EPISODES = "episodes"
INTERRUPTED_MESSAGE = "interrupted: finished results are kept; run the same command to continue"


def __getattr__(name: str) -> Any:
    """The consoles ``out`` and ``err``, made when something is drawn (PEP 562)."""
    if name not in ("err", "out"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from policypress.cli import screen

    return getattr(screen, name)


def print_notices(notices: Iterable[str]) -> None:
    """Show notices, once each."""
    from policypress.cli.screen import err

    for notice in dict.fromkeys(notices):
        err.print(marked("note:", "yellow", notice))


def marked(word: str, style: str, text: str) -> Text:
    """``text`` after a word in colour."""
    from rich.text import Text

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
    # Not before something is drawn: it takes as long to import as all that help and completion need of rich.
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from policypress.cli.screen import err

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
