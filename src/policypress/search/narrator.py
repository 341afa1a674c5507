"""What a search tells while it runs, beyond what its studies do."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from policypress.study.progress import Progress, Silent


@runtime_checkable
class Narrator(Progress, Protocol):
    """Listens to a search and to the studies beneath it."""

    def phase(self, name: str) -> None:
        """What follows is ``name``: a few words for the progress bar."""
        ...

    def tell(self, text: str) -> None:
        """A decision, in a sentence that stays on the screen."""
        ...


class SilentNarrator(Silent):
    """Nobody listens."""

    def phase(self, name: str) -> None:
        """Say nothing."""

    def tell(self, text: str) -> None:
        """Say nothing."""
