"""Executor on a Ray cluster: an existing one by its address, or one on this machine that lives as long as the study.

Tasks and results travel through Ray; no disk is shared. A node that is lost takes its tasks with it, and they are given
to another: Ray's own repetitions would count the loss as the task's, and run out while the cluster still sends tasks to
the node that is gone.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from policypress.engine.executors.local_executor import ATTEMPTS, core_count
from policypress.engine.notes import Listener
from policypress.engine.tasks.task import Failure, Outcome, Task, perform
from policypress_runtime.errors import ExecutionError, MissingDependencyError, StudyInputError

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_KNOCK_S = 10.0
LOSSES = 6
"""How often a task is begun on nodes that are lost, before it is taken to be what brings them down."""
_REST_S = 1.0
_LONGEST_REST_S = 30.0
# What Ray says of a worker's process that ended by itself, and not with its node.
_DIED = "WorkerCrashedError"


class Losses:
    """Counts what was lost of each task, and rules what becomes of it.

    A process that ends while its node lives was ended by its task: the second time, the task has failed, as with every
    executor. A node that is lost (or short of memory, where Ray ends whom it likes) takes tasks with it that did
    nothing: they are begun again, each time after a longer rest, since a cluster takes seconds to see a node gone.
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def rest_s(self, key: str, loss: str) -> float | None:
        """Seconds after which the task is begun again; None where it has failed.

        Args:
            key: of the task.
            loss: class of Ray's error.
        """
        kind = _DIED if loss == _DIED else ""
        self._counts[key, kind] += 1
        count = self._counts[key, kind]
        if count >= (ATTEMPTS if kind else LOSSES):
            return None
        return 0.0 if kind else min(_REST_S * 2 ** (count - 1), _LONGEST_REST_S)

    def failure(self, key: str, loss: str) -> Failure:
        """Why a task has failed for which there is no rest left."""
        if loss == _DIED:
            reason = ExecutionError(
                "The Ray worker died at every attempt, on nodes that were alive.",
                got=f"{loss} after {ATTEMPTS} attempts",
                expected="a result",
                hint="Running out of memory is the usual reason: try fewer jobs, or larger nodes.",
            )
        else:
            reason = ExecutionError(
                "The node was lost at every attempt.",
                got=f"{loss} after {LOSSES} attempts",
                expected="a result",
                hint="If the task overloads its nodes, use larger ones; else check the cluster's logs, and retry.",
            )
        return Failure.of(reason)

    def forget(self, key: str) -> None:
        """The task has an outcome."""
        for kind in (_DIED, ""):
            self._counts.pop((key, kind), None)


def _ray() -> Any:
    """The library.

    Raises:
        MissingDependencyError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError(
            "The Ray executor needs Ray.", expected="the extra", hint='pip install "policypress[ray]"'
        ) from error
    return ray


def _knock(address: str) -> None:
    """Refuse an address without a listener at once; Ray itself would try for minutes.

    Raises:
        ExecutionError: nobody does.
    """
    host, colon, port = address.rpartition("//")[2].rpartition(":")
    if not (colon and port.isdigit()):
        return  # "auto", and whatever else Ray resolves itself
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()
    except OSError as error:
        raise ExecutionError(
            "There is no Ray cluster at the address.",
            got=f"{address}: {error}",
            expected="the address of a running cluster, as `ray start --head` prints it",
        ) from error


class RayExecutor:
    """Runs tasks as Ray tasks of one core each; see :class:`~.executor.Executor`.

    A task that must be alone has all cores of a node; where a node is lost, another does what it did (:class:`Losses`).

    Args:
        address: of a running cluster (``auto``, ``host:6379`` or ``ray://host:10001``); None starts one here.
        jobs: number of tasks at the same time; by default as many as the cluster has cores.

    Raises:
        MissingDependencyError: Ray is not installed.
        StudyInputError: fewer than one task at a time.
        ExecutionError: there is no cluster at the address, or none can be started.
    """

    def __init__(self, address: str | None = None, jobs: int | None = None) -> None:
        if jobs is not None and jobs < 1:
            raise StudyInputError("A study needs a worker.", got=f"{jobs} jobs", expected="at least 1")
        # Never called: a cluster's tasks tell nothing before they are done.
        self.listener: Listener | None = None
        self._ray = _ray()
        self._queue: deque[Task] = deque()
        self._running: dict[Any, Task] = {}
        self._nodes_taken: dict[Any, str] = {}
        self._suspects: set[str] = set()
        self._losses = Losses()
        self._resting: list[tuple[float, Task]] = []
        self._own = not self._ray.is_initialized()
        if self._own:
            self._connect(address, jobs)
        cores = int(self._ray.cluster_resources().get("CPU", 0))
        self._jobs = max(1, min(jobs or cores, cores) if cores else jobs or 1)
        options = {"num_cpus": 1, "max_retries": 0, "retry_exceptions": False}
        self._perform = self._ray.remote(**options)(perform)

    def _connect(self, address: str | None, jobs: int | None) -> None:
        if address is not None:
            _knock(address)
        paths = [entry or os.getcwd() for entry in sys.path if not (entry or ".").startswith(sys.prefix)]
        variables = {**dict.fromkeys(_THREADS, "1"), "PYTHONPATH": os.pathsep.join(paths)}
        here: dict[str, Any] = {} if address else {"num_cpus": jobs or core_count(), "include_dashboard": False}
        try:
            self._ray.init(
                address=address or "local",
                runtime_env={"env_vars": variables},
                log_to_driver=False,
                logging_level="error",
                **here,
            )
        except Exception as error:  # Ray's errors here have no common class
            raise ExecutionError(
                "The Ray cluster cannot be used.",
                got=f"{address or 'a new one here'}: {str(error).splitlines()[0] if str(error) else error!r}",
                expected="the address of a running cluster, as `ray start --head` prints it",
            ) from error

    @property
    def capacity(self) -> int:
        """Number of tasks at the same time."""
        return self._jobs

    @property
    def machines(self) -> int:
        """Number of nodes that have cores."""
        return max(1, len(self._nodes()))

    @property
    def pending(self) -> int:
        """Tasks without an outcome."""
        return len(self._queue) + len(self._running) + len(self._resting)

    def submit(self, task: Task) -> None:
        """Give ``task`` to the cluster, or queue it."""
        self._queue.append(task)
        self._dispatch()

    def _dispatch(self) -> None:
        now_s = time.monotonic()
        self._queue.extend(task for due_s, task in self._resting if due_s <= now_s)
        self._resting = [(due_s, task) for due_s, task in self._resting if due_s > now_s]
        while self._queue and len(self._running) < self._jobs:
            task = self._queue[0]
            if not task.alone:
                self._running[self._perform.remote(task)] = task
            elif not self._has_a_node(task):
                return
            self._queue.popleft()

    def _nodes(self) -> dict[str, float]:
        """Id of each living node → its cores; nodes without cores do no tasks."""
        found = {str(node["NodeID"]): node["Resources"].get("CPU", 0.0) for node in self._ray.nodes() if node["Alive"]}
        return {identity: cores for identity, cores in found.items() if cores > 0}

    def _has_a_node(self, task: Task) -> bool:
        """Give ``task`` a whole node; false while every node has one such task.

        A cluster takes seconds to see that a node is gone: one that has lost such a task is asked last.

        Raises:
            ExecutionError: no node is left.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        nodes = self._nodes()
        if not nodes:
            raise ExecutionError("The Ray cluster has no node with free cores.", got="0 cores", expected="at least 1")
        free = [identity for identity in nodes if identity not in self._nodes_taken.values()]
        trusted = [identity for identity in free if identity not in self._suspects]
        if not free or (self._running and not trusted):
            return False
        free = trusted or free
        there = NodeAffinitySchedulingStrategy(free[0], soft=False)
        whole = self._perform.options(num_cpus=nodes[free[0]], scheduling_strategy=there)
        reference = whole.remote(task)
        self._running[reference], self._nodes_taken[reference] = task, free[0]
        return True

    def outcomes(self) -> Iterator[Outcome]:
        """Outcomes in the order in which tasks finish."""
        while self.pending:
            self._dispatch()
            for reference in self._ready():
                task = self._running.pop(reference)
                node = self._nodes_taken.pop(reference, None)
                outcome = self._collect(task, reference)
                if outcome is None and node is not None:
                    self._suspects.add(node)
                self._dispatch()
                if outcome is not None:
                    yield outcome

    def _ready(self) -> list[Any]:
        """Wait for a task that has ended, or until one has rested."""
        rest_s = min((due_s for due_s, _ in self._resting), default=None)
        timeout_s = None if rest_s is None else max(0.0, rest_s - time.monotonic())
        if not self._running:
            time.sleep(timeout_s or 0.0)
            return []
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        return list(ready)

    def _collect(self, task: Task, reference: Any) -> Outcome | None:
        """What became of the task; None where it is to be done once more."""
        try:
            value = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:  # its result could not travel, for one
            self._losses.forget(task.key)
            cause = getattr(error, "cause", None)
            return Outcome(task.key, failure=Failure.of(cause if isinstance(cause, Exception) else error))
        except self._ray.exceptions.RayError as error:
            loss = type(error).__name__
            rest_s = self._losses.rest_s(task.key, loss)
            if rest_s is not None:
                self._resting.append((time.monotonic() + rest_s, task))
                return None
            value = Outcome(task.key, failure=self._losses.failure(task.key, loss))
        if not isinstance(value, Outcome):
            raise ExecutionError("A Ray task gave no outcome.", got=type(value).__name__)
        self._losses.forget(task.key)
        return value

    def cancel(self) -> None:
        """Forget every pending task and stop those that run."""
        self._queue.clear()
        self._resting.clear()
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._running.clear()
        self._nodes_taken.clear()
        self._losses = Losses()

    def close(self) -> None:
        """Cancel, and leave the cluster; one that was started here ends."""
        if not self._ray.is_initialized():
            return
        self.cancel()
        if self._own:
            self._ray.shutdown()

    def __enter__(self) -> RayExecutor:
        """The executor itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()
