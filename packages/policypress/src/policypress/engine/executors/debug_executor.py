"""Executor without processes: tasks run here, one by one, in order, where a debugger sees them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from types import TracebackType

from policypress.engine.notes import Listener
from policypress.engine.tasks.task import Outcome, Task, perform


class DebugExecutor:
    """Runs each task in this process when its outcome is asked for; see :class:`~.executor.Executor`.

    Thread counts are this process's own, so a task that computes in several threads has to limit them
    itself to give the same bits as elsewhere.
    """

    def __init__(self) -> None:
        self.listener: Listener | None = None
        self._queue: deque[Task] = deque()

    @property
    def capacity(self) -> int:
        """One task at a time."""
        return 1

    @property
    def machines(self) -> int:
        """This one."""
        return 1

    @property
    def pending(self) -> int:
        """Tasks without an outcome."""
        return len(self._queue)

    def submit(self, task: Task) -> None:
        """Queue ``task``."""
        self._queue.append(task)

    def outcomes(self) -> Iterator[Outcome]:
        """Run the queue from its head."""
        while self._queue:
            yield perform(self._queue.popleft(), self.listener)

    def cancel(self) -> None:
        """Empty the queue."""
        self._queue.clear()

    def close(self) -> None:
        """Empty the queue."""
        self.cancel()

    def __enter__(self) -> DebugExecutor:
        """The executor itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()
