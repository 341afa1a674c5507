"""The two consoles; the library they draw with takes longer to import than help or completion may take."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from policypress_runtime.foreign_text import plain_lines

# A pipe has no width; tables are not cut there.
PIPE_WIDTH = 160


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
