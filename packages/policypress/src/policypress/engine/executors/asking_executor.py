"""Executor of searches whose episodes are played elsewhere: such tasks are kept, and somebody is asked for them."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

from policypress.engine.executors.executor import Executor
from policypress.engine.notes import Listener
from policypress.engine.tasks.builds import EpisodesPayload
from policypress.engine.tasks.task import Outcome, Task


class AskingExecutor:
    """Gives ``inner`` every task but those that play episodes; see :class:`~.executor.Executor`.

    A run that needs such episodes ends, when everything else is done, as one that was interrupted: what is complete is
    in the store, and the same call continues once the episodes are there, too.

    Args:
        inner: does the other tasks; it is closed with this one.
        capacity: that is told to whoever asks, whatever the machine: a search on another machine goes the same way.
    """

    def __init__(self, inner: Executor, capacity: int) -> None:
        self._inner = inner
        self._capacity = capacity
        self._asked: list[tuple[str, EpisodesPayload]] = []
        self._ended_asking = False

    @property
    def asked(self) -> tuple[tuple[str, EpisodesPayload], ...]:
        """Keys of the tasks that the last run ended with, and what is to be played; none if it ended otherwise."""
        return tuple(self._asked) if self._ended_asking else ()

    @property
    def listener(self) -> Listener | None:
        """Gets the progress notes of the other tasks."""
        return self._inner.listener

    @listener.setter
    def listener(self, listener: Listener | None) -> None:
        self._inner.listener = listener

    @property
    def capacity(self) -> int:
        """As stated."""
        return self._capacity

    @property
    def machines(self) -> int:
        """Those of the inner one."""
        return self._inner.machines

    @property
    def pending(self) -> int:
        """Tasks that are being done. What is asked for takes no place, so that all of it is asked for at once."""
        return self._inner.pending

    def submit(self, task: Task) -> None:
        """Keep ``task`` if it plays episodes."""
        if not isinstance(task.payload, EpisodesPayload):
            self._inner.submit(task)
            return
        self._forget_last()
        self._asked.append((task.key, task.payload))

    def outcomes(self) -> Iterator[Outcome]:
        """Outcomes of the inner one.

        Raises:
            KeyboardInterrupt: nothing is left to do but what is asked for; or Ctrl-C.
        """
        self._forget_last()
        yield from self._inner.outcomes()
        if self._asked:
            self._ended_asking = True
            raise KeyboardInterrupt

    def _forget_last(self) -> None:
        """Forget what an earlier run ended with."""
        if self._ended_asking:
            self._asked, self._ended_asking = [], False

    def cancel(self) -> None:
        """Forget what is being done, and what was not asked for yet."""
        self._inner.cancel()
        if not self._ended_asking:
            self._asked = []

    def close(self) -> None:
        """Close the inner one."""
        self._inner.close()

    def __enter__(self) -> AskingExecutor:
        """The executor itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()
