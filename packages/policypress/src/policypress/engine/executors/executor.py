"""What every executor does: take tasks, give back one outcome for each, in the order they finish."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, runtime_checkable

from policypress.engine.notes import Listener
from policypress.engine.tasks.task import Outcome, Task


@runtime_checkable
class Executor(Protocol):
    """Runs tasks somewhere. A context manager: leaving it ends all that it started.

    Every submitted task has exactly one outcome, whatever happens to it; an exception in a task is a
    failure in its outcome and disturbs no other task. A task whose process dies is done once more, and
    fails if that process dies too. One thread per task; the value of a task does not depend on the
    executor.

    ``listener`` gets the progress notes of running tasks, from executors that support it; None: ignored.
    """

    listener: Listener | None

    @property
    def capacity(self) -> int:
        """How many tasks are done at the same time; to submit many more only costs memory."""
        ...

    @property
    def machines(self) -> int:
        """How many tasks that must be alone on a machine are done at the same time."""
        ...

    @property
    def pending(self) -> int:
        """How many submitted tasks have no outcome yet."""
        ...

    def submit(self, task: Task) -> None:
        """Take ``task``; returns at once."""
        ...

    def outcomes(self) -> Iterator[Outcome]:
        """Outcomes as they come, until no task is pending; more may be submitted between two of them.

        Raises:
            KeyboardInterrupt: Ctrl-C; call :meth:`cancel` or leave the context then.
        """
        ...

    def cancel(self) -> None:
        """Forget every pending task and stop those that run; new tasks may be submitted afterwards."""
        ...

    def close(self) -> None:
        """Cancel, and end all processes."""
        ...

    def __enter__(self) -> Executor:
        """The executor itself."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        ...
