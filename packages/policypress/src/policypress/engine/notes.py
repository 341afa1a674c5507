"""Progress notes of running tasks, passed from the worker to the executor's listener."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from policypress.compression.learning import StepProgress


@dataclass(frozen=True)
class MeasuringSteps:
    """``done`` of ``total`` steps of measuring costs."""

    done: int
    total: int


@dataclass(frozen=True)
class Note:
    """How far the task ``key`` is with what it learns or measures."""

    key: str
    progress: StepProgress | MeasuringSteps


Listener = Callable[[Note], None]
_heard: ContextVar[tuple[str, Listener] | None] = ContextVar("heard", default=None)


def on_progress(progress: StepProgress | MeasuringSteps) -> None:
    """Send a progress note of the task that runs here; ignored without a listener."""
    heard = _heard.get()
    if heard is not None:
        key, listener = heard
        listener(Note(key, progress))


@contextmanager
def heard_by(key: str, listener: Listener | None) -> Iterator[None]:
    """While the task ``key`` runs, its notes go to ``listener``."""
    token = _heard.set(None if listener is None else (key, listener))
    try:
        yield
    finally:
        _heard.reset(token)
