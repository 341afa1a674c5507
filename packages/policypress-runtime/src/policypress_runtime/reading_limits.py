"""Limits for reading untrusted files: memory, processor time, depth.

Readers count for themselves what they build. This is the second line of defence: inside
:func:`limited` the process may take :data:`MEMORY_BYTES` more memory and :data:`CPU_S` seconds of processor time;
beyond, the read ends with one error of ours.

Why not a child process: starting one costs every command as much as importing torch (seconds), and forking a
process in which libraries have started threads can hang, which would refuse right files. The soft resource limit
of this process does the same for memory and is put back afterwards. It holds for the whole process, so it is set
only where nothing else runs beside: in the main thread of a process that has no other Python thread.
"""

from __future__ import annotations

import contextlib
import json
import os
import reprlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from policypress_runtime.errors import DamagedAgentError, PolicypressError

try:
    import resource
except ImportError:  # pragma: no cover - Windows has no such limits
    resource = None  # type: ignore[assignment]

MEMORY_BYTES = 1024**3
CPU_S = 30.0
# A file that is large has a right to more, for its copies in several forms.
COPIES = 6
# Threads that a numerical library starts meanwhile need their stacks.
_STACK_BYTES = 8 * 1024**2
# Beyond its time, the alarm comes again and again: a callback of a library may have swallowed the first.
_AGAIN_S = 0.25
_TOO_MUCH_MEMORY = "more memory than such a file should need", f"at most {MEMORY_BYTES >> 20} MiB besides its own size"
_STATUS = "/proc/self/status"

MAX_JSON_MARKS = 2_000_000
MAX_JSON_BYTES = 256 * 1024**2


class _OutOfTime(BaseException):
    """Raised by the alarm; no ``except Exception`` of a library may take it for an error of its own."""


_state = threading.local()


@contextlib.contextmanager
def limited(
    what: str, *, error: type[PolicypressError] = DamagedAgentError, file_bytes: int = 0, cpu_s: float = CPU_S
) -> Iterator[None]:
    """Run a read within limits of memory, processor time and depth; nested, the outermost counts.

    Args:
        what: what is being read, for the message.
        error: the type of the error.
        file_bytes: size of what is read; memory for :data:`COPIES` of it is granted on top.
        cpu_s: seconds of processor time, of all threads of the process.

    Raises:
        PolicypressError: of type ``error``: memory, time, the stack or the range of a number was exceeded.
    """
    if getattr(_state, "inside", False):
        yield
        return
    _state.inside = True
    exceeded: tuple[str, str] | None = None
    try:
        with _memory(MEMORY_BYTES + COPIES * file_bytes), _time(cpu_s):
            yield
    except _OutOfTime:
        exceeded = f"more than {cpu_s:g} seconds of processor time", "a file that is read quickly"
    except MemoryError:
        exceeded = _TOO_MUCH_MEMORY
    except RecursionError:  # before RuntimeError, which it is
        exceeded = "too deep nesting", "a file without deep nesting"
    except RuntimeError as failure:
        # How torch says that there is no memory.
        if "allocate memory" not in str(failure):
            raise
        exceeded = _TOO_MUCH_MEMORY
    except OverflowError as failure:
        exceeded = f"a number out of range ({failure})", "numbers that fit their type"
    finally:
        _state.inside = False
    if exceeded is not None:
        # Outside the handler, so that the traceback, and all that it holds, is gone.
        raise error(
            f"{what} cannot be read within the limits.",
            got=exceeded[0],
            expected=exceeded[1],
            hint="Do not use this file, unless you trust its author; then save it again, smaller.",
        )


def _alone() -> bool:
    return threading.current_thread() is threading.main_thread() and threading.active_count() == 1


@contextlib.contextmanager
def _memory(grant_bytes: int) -> Iterator[None]:
    used = _data_bytes()
    if resource is None or used is None or not _alone():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = used + grant_bytes + _STACK_BYTES * (os.cpu_count() or 1)
    ceilings = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([wanted, *ceilings]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int | None:
    """Private writable memory of this process, which is what the limit counts; None where it cannot be told."""
    try:
        with open(_STATUS, encoding="ascii") as status:
            found = next((line for line in status if line.startswith("VmData:")), None)
    except OSError:
        return None
    return None if found is None else int(found.split()[1]) * 1024


@contextlib.contextmanager
def _time(cpu_s: float) -> Iterator[None]:
    # Whoever has a handler or a timer of this kind already, a profiler, keeps it.
    if (
        not hasattr(signal, "SIGPROF")
        or threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGPROF) is not signal.SIG_DFL
        or signal.getitimer(signal.ITIMER_PROF) != (0.0, 0.0)
    ):
        yield
        return
    signal.signal(signal.SIGPROF, _ring)
    _state.rings = True
    try:
        signal.setitimer(signal.ITIMER_PROF, cpu_s, _AGAIN_S)
        yield
    finally:
        # The alarm may ring right here; it comes again after far longer than the rest takes.
        try:
            _state.rings = False
        finally:
            _state.rings = False
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, signal.SIG_DFL)


def _ring(number: int, frame: FrameType | None) -> None:
    if getattr(_state, "rings", False):
        raise _OutOfTime


def parsed_json(content: str | bytes, *, limit_bytes: int = MAX_JSON_BYTES) -> Any:
    """What ``json.loads`` gives, for text whose size and number of values are counted before.

    Raises:
        ValueError: it is no JSON, too long, of too many values, or nested too deeply.
    """
    if len(content) > limit_bytes:
        raise ValueError(f"{len(content)} characters, more than {limit_bytes}")
    # Each value but the first stands behind one of these; those inside text are counted with them.
    count = sum(content.count(mark) if isinstance(content, str) else content.count(mark.encode()) for mark in "[{,")
    if count > MAX_JSON_MARKS:
        raise ValueError(f"{count} values, more than {MAX_JSON_MARKS}")
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None


class _Short(reprlib.Repr):
    """``repr`` of foreign values in messages: never long, deep, or an error."""

    def repr_int(self, x: int, level: int) -> str:
        # Digits of huge integers take quadratic time, and Python refuses them.
        return super().repr_int(x, level) if abs(x) < 2**128 else f"an integer of {x.bit_length()} bits"


_short = _Short()
_short.maxlevel, _short.maxstring, _short.maxother, _short.maxlong = 3, 120, 120, 60


def shown(value: Any, limit: int = 120) -> str:
    """``repr`` of a value that a file gave, for a message: cut to ``limit`` characters, never long to make.

    >>> shown([[0] * 1000] * 1000, 40)
    '[[0, 0, 0, 0, 0, 0, ...], [0, 0, 0, 0, 0'
    """
    return _short.repr(value)[:limit]
