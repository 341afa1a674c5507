"""The other end of the local executor's pipe: a process that does tasks until the pipe closes."""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
from multiprocessing.connection import Connection

from policypress.engine.notes import Listener, Note
from policypress.engine.tasks.task import Failure, Outcome, Task, perform


def serve(handle: int) -> None:
    """Answer every task on the pipe with its outcome, both pickled, and before it with the notes that it tells.

    Plain pickle copies what it sends; multiprocessing's own form would share torch's tensors through files.

    The pipe joins this process to its parent alone; nothing from a file or a network arrives here.
    It is read in a thread of its own, so that the end of the driver, however sudden, ends this process
    in the middle of a task too: no orphan keeps a core busy.

    Args:
        handle: file descriptor of this process's end of the pipe.
    """
    connection = Connection(handle)
    messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, messages), daemon=True).start()

    def send(message: bytes) -> None:
        try:
            connection.send_bytes(message)
        except OSError:
            _leave()

    def pass_on(note: Note) -> None:
        send(pickle.dumps(note))

    while True:
        send(answer(messages.get(), pass_on))


def _receive(connection: Connection, messages: queue.SimpleQueue[bytes]) -> None:
    try:
        while True:
            messages.put(connection.recv_bytes())
    except (EOFError, OSError):
        _leave()


def _leave() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def answer(message: bytes, listener: Listener | None = None) -> bytes:
    """The sent form of the outcome of the task in ``message``; what cannot be sent is a failure."""
    try:
        task = pickle.loads(message)
        if not isinstance(task, Task):
            raise TypeError(f"expected a task, got {type(task).__name__}")
        return pickle.dumps(perform(task, listener))
    except Exception as error:
        failure = Failure.of(error)
        return pickle.dumps(Outcome("", failure=Failure(failure.kind, failure.message, failure.traceback)))
