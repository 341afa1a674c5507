"""What executors run: a task, its outcome, and the one function that turns the first into the second."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from policypress.engine.notes import Listener, heard_by
from policypress_runtime.errors import ExecutionError, PolicypressError


@dataclass(frozen=True)
class Task:
    """One piece of work that any process can do: ``function(payload)``.

    Args:
        key: names the task in outcomes; unique among the tasks that are under way.
        function: at module level, so that another process can import it. It returns its result, and
            writes to no store. It may keep what is dear to set up (an environment, a runtime) in a
            global of its module: worker processes live on between tasks.
        payload: anything that pickles.
        alone: nothing else of the study runs on the machine meanwhile: it is a measurement. Such tasks are not
            mixed with others, and no more of them are submitted at once than there are machines.
        fresh: done by a process that has done nothing else, so that the memory it takes is its own; of executors, the
            local one sees to it.

    Raises:
        TypeError: another process could not import ``function``.
    """

    key: str
    function: Callable[[Any], Any]
    payload: Any
    alone: bool = False
    fresh: bool = False

    def __post_init__(self) -> None:
        module = getattr(self.function, "__module__", None)
        name = getattr(self.function, "__qualname__", "")
        found: object = sys.modules.get(module or "")
        for part in name.split("."):
            found = getattr(found, part, None)
        if module == "__main__" or found is not self.function:
            raise TypeError(f"a task needs a function that other processes can import, not {self.function!r}")


@dataclass(frozen=True)
class Failure:
    """Why a task, or a cell, has no result.

    ``error`` is the exception itself where it is one of this package's own and came in this run;
    a failure read back from the store has only the words.
    """

    kind: str
    message: str
    traceback: str = ""
    error: PolicypressError | None = None

    @staticmethod
    def of(error: BaseException) -> Failure:
        """Failure that describes ``error``, with its traceback where it has one."""
        own = error if isinstance(error, PolicypressError) else None
        kind = type(error).__name__
        lines = "".join(traceback.format_exception(error)) if error.__traceback__ is not None else ""
        return Failure(kind, str(error) or kind, lines, own)

    def exception(self) -> PolicypressError:
        """Something to raise: the original error of this package, or an ExecutionError with its words."""
        if self.error is not None:
            return self.error
        return ExecutionError("A task failed.", got=f"{self.kind}: {self.message}")


@dataclass(frozen=True)
class Outcome:
    """What became of the task ``key``: its value, or a failure and no value."""

    key: str
    value: Any = None
    failure: Failure | None = None


_begun = 0


def is_first_here() -> bool:
    """For a task to ask: whether this process had begun no other before it."""
    return _begun <= 1


def perform(task: Task, listener: Listener | None = None) -> Outcome:
    """Do ``task`` here and now. Whatever it raises becomes a failure, except KeyboardInterrupt.

    ``listener`` gets the task's progress notes.
    """
    global _begun
    _begun += 1
    try:
        with heard_by(task.key, listener):
            return Outcome(task.key, value=task.function(task.payload))
    except (Exception, SystemExit) as error:
        # Importing it takes gymnasium, which most commands do without.
        from policypress.environments.wrappers.faults import failure_within

        return Outcome(task.key, failure=Failure.of(failure_within(error) or error))
