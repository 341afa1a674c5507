"""Which executor does the tasks, by its name."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal, get_args

from policypress.engine.executors.debug_executor import DebugExecutor
from policypress.engine.executors.executor import Executor
from policypress.engine.executors.local_executor import LocalExecutor
from policypress_runtime.errors import StudyInputError

ExecutorName = Literal["local", "debug", "ray"]
EXECUTORS: tuple[ExecutorName, ...] = get_args(ExecutorName)


def executor_of(name: str, jobs: int | None = None, address: str | None = None) -> AbstractContextManager[Executor]:
    """The executor ``name`` with ``jobs`` processes, by default one per core; ``address`` is that of a Ray cluster.

    Raises:
        StudyInputError: there is no such executor, or only Ray has an address.
        MissingDependencyError: Ray is not installed.
    """
    if name not in EXECUTORS:
        raise StudyInputError("There is no such executor.", got=name, expected=", ".join(EXECUTORS))
    if address is not None and name != "ray":
        raise StudyInputError("Only Ray has an address.", got=f"--address with --executor {name}")
    match name:
        case "debug":
            return DebugExecutor()
        case "ray":
            from policypress.engine.executors.ray_executor import RayExecutor

            return RayExecutor(address, jobs)
    return LocalExecutor(jobs)


def can_travel(function: Callable[[], Any]) -> bool:
    """Whether another process can be given ``function``: it pickles, and not by reference to the running script."""
    if "__main__" in (getattr(function, "__module__", None), type(function).__module__):
        return False
    try:
        pickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True
