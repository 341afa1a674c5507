"""Executor on this machine: one process per core, one thread in each."""

from __future__ import annotations

import os
import pickle
import subprocess
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from types import TracebackType

from policypress.engine.notes import Listener, Note
from policypress.engine.tasks.task import Failure, Outcome, Task
from policypress_runtime.errors import ExecutionError, StudyInputError
from policypress_runtime.toolchain.child_python import python_command, python_environment

ATTEMPTS = 2
_GRACE_S = 5.0
_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_MAIN = "from policypress.engine.executors.worker_process import serve; serve(int(sys.argv[1]))"


@dataclass
class _Job:
    task: Task
    attempts: int = 0


class _Worker:
    """A process with a pipe to it, and the job it has.

    Started afresh rather than by multiprocessing's ``spawn``, which would run the user's main module
    again in every worker. A session of its own keeps Ctrl-C with the driver, which ends its workers;
    thread counts have to stand in the environment before numpy is first imported.
    """

    def __init__(self) -> None:
        self.connection, other = Pipe()
        self.job: _Job | None = None
        self.used = False
        try:
            self._process = subprocess.Popen(
                python_command(_MAIN, [str(other.fileno())]),
                stdin=subprocess.DEVNULL,
                env=python_environment(dict.fromkeys(_ONE_THREAD, "1")),
                pass_fds=(other.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            self.connection.close()
            raise ExecutionError(
                "A worker process could not be started.", got=str(error), hint="Try fewer jobs, or free some memory."
            ) from error
        finally:
            other.close()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def give(self, job: _Job, message: bytes) -> bool:
        """Send ``job``; false if the process is dead."""
        try:
            self.connection.send_bytes(message)
        except OSError:
            return False
        job.attempts += 1
        self.job = job
        self.used = True
        return True

    def answer(self) -> bytes | None:
        """What the process sent; None if it died instead, perhaps in the middle of a message."""
        try:
            return self.connection.recv_bytes()
        except (EOFError, OSError):
            return None

    def end(self) -> int:
        """Close the pipe, which ends the process, and wait for it; its exit status."""
        self.connection.close()
        try:
            return self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End the process at once; its exit status."""
        self.connection.close()
        self._process.kill()
        return self._process.wait()


def core_count() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class LocalExecutor:
    """Runs tasks in worker processes that live until :meth:`close`; see :class:`~.executor.Executor`.

    Args:
        jobs: number of processes; by default one per core. They start when they are first needed.

    Raises:
        StudyInputError: fewer than one process.
        ExecutionError: from :meth:`submit` and :meth:`outcomes`, when no process can be started.
    """

    def __init__(self, jobs: int | None = None) -> None:
        if jobs is not None and jobs < 1:
            raise StudyInputError("A study needs a worker.", got=f"{jobs} jobs", expected="at least 1")
        self.listener: Listener | None = None
        self._jobs = jobs if jobs is not None else core_count()
        self._queue: deque[_Job] = deque()
        self._finished: deque[Outcome] = deque()
        self._workers: list[_Worker] = []

    @property
    def capacity(self) -> int:
        """Number of processes."""
        return self._jobs

    @property
    def machines(self) -> int:
        """This one."""
        return 1

    @property
    def pending(self) -> int:
        """Tasks without an outcome."""
        return len(self._queue) + len(self._finished) + len(self._busy())

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """Process ids of the workers that have been started and are not known to be dead."""
        return tuple(worker.pid for worker in self._workers)

    def submit(self, task: Task) -> None:
        """Give ``task`` to an idle worker, or queue it."""
        self._queue.append(_Job(task))
        self._dispatch()

    def outcomes(self) -> Iterator[Outcome]:
        """Outcomes in the order in which workers finish."""
        while self.pending:
            while self._finished:
                yield self._finished.popleft()
            self._dispatch()
            busy = {worker.connection: worker for worker in self._busy()}
            for connection in wait(list(busy)) if busy else ():
                if isinstance(connection, Connection):
                    self._collect(busy[connection])
            # Workers get their next task before the caller has dealt with the outcomes of the last.
            self._dispatch()

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.job is not None]

    def _dispatch(self) -> None:
        while self._queue:
            worker = next((worker for worker in self._workers if worker.job is None), None)
            if worker is None and len(self._workers) >= self._jobs:
                return
            job = self._queue[0]
            if worker is not None and worker.used and job.task.fresh:
                self._bury(worker)
                worker = None
            try:
                message = pickle.dumps(job.task)
            except Exception as error:
                self._queue.popleft()
                self._finished.append(Outcome(job.task.key, failure=Failure.of(error)))
                continue
            fresh = worker is None
            if worker is None:
                worker = _Worker()
                self._workers.append(worker)
            if worker.give(job, message):
                self._queue.popleft()
                continue
            status = self._bury(worker)
            if fresh:
                self._queue.popleft()
                job.attempts += 1
                self._lost(job, status)

    def _collect(self, worker: _Worker) -> None:
        job, message = worker.job, worker.answer()
        if job is None:
            return
        if message is None:
            self._lost(job, self._bury(worker))
            return
        try:
            told = pickle.loads(message)
            if isinstance(told, Note):
                if self.listener is not None:
                    self.listener(told)
                return
            outcome = replace(told, key=job.task.key)
        except Exception as error:
            outcome = Outcome(job.task.key, failure=Failure.of(error))
        worker.job = None
        self._finished.append(outcome)

    def _lost(self, job: _Job, status: int) -> None:
        if job.attempts < ATTEMPTS:
            self._queue.appendleft(job)
            return
        error = ExecutionError(
            "The worker process died at every attempt.",
            got=f"exit status {status} at attempt {job.attempts}",
            expected="a result",
            hint="A status of -9 often means that memory ran out: try fewer jobs.",
        )
        self._finished.append(Outcome(job.task.key, failure=Failure.of(error)))

    def _bury(self, worker: _Worker) -> int:
        self._workers.remove(worker)
        return worker.end()

    def cancel(self) -> None:
        """Forget every pending task; processes in the middle of one are killed, the idle ones stay."""
        self._queue.clear()
        self._finished.clear()
        for worker in self._busy():
            self._workers.remove(worker)
            worker.kill()

    def close(self) -> None:
        """Cancel, and end all processes."""
        self.cancel()
        while self._workers:
            self._workers.pop().end()

    def __enter__(self) -> LocalExecutor:
        """The executor itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()
