"""``policypress`` as a process of its own, without the seconds that its imports take.

A server imports what commands use, once for all tests of a worker of pytest, and forks for each command. Unlike the
tests' own process it has neither their checks of shapes nor their filters of warnings, and no thread. What a test says
about the start itself (the import path, signals, what is imported and when) starts Python anew instead.

Three things are spared here, for what they do has tests elsewhere. C is compiled with its plain kernels alone
(tests/export has the others), one job is done in the command's own process (tests/engine), and the script that every
report holds is made once for all tests (tests/report).
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

LONGEST_S = 300
_servers: list[subprocess.Popen[str]] = []


def run(
    *arguments: str | Path, cwd: Path | None = None, script: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """``policypress``, or the Python of ``script``, with ``arguments``; never with a terminal.

    The environment is that of this moment.
    """
    with Started(*arguments, cwd=cwd, script=script) as process:
        out, err = process.communicate(LONGEST_S)
        return subprocess.CompletedProcess(["policypress", *map(str, arguments)], process.returncode or 0, out, err)


class Started:
    """A command that runs, with the methods of :class:`subprocess.Popen` that tests need.

    Args:
        arguments: of the command.
        cwd: its folder.
        script: a file of Python in place of ``policypress``.
        session: in a session of its own, which a test can interrupt as a whole.
    """

    def __init__(
        self, *arguments: str | Path, cwd: Path | None = None, script: Path | None = None, session: bool = False
    ) -> None:
        # Goes with the folder of the run, also where nobody asks what was printed.
        folder = tempfile.mkdtemp(dir=importlib.import_module("kept_for_a_run").folder_of_the_run())
        self._out, self._err = (Path(folder, name) for name in ("stdout", "stderr"))
        self.args = ["policypress", *map(str, arguments)]
        self.returncode: int | None = None
        request = {
            "script": None if script is None else str(script),
            "arguments": self.args[1:],
            "cwd": str(cwd or Path.cwd()),
            "environment": dict(os.environ),
            "stdout": str(self._out),
            "stderr": str(self._err),
            "session": session,
        }
        self.pid = int(_asked(request))

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        if self.returncode is None:
            answer = _asked({"poll": self.pid})
            self.returncode = None if answer == "runs" else int(answer)
        return self.returncode

    def wait(self, timeout: float = LONGEST_S) -> int:
        """The exit code, once it has ended."""
        end = time.monotonic() + timeout
        pause_s = 0.002
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(self.args, timeout)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.05)
        return code

    def communicate(self, timeout: float = LONGEST_S) -> tuple[str, str]:
        """What it has printed, once it has ended. What is no text stands there as it is escaped."""
        self.wait(timeout)
        out, err = (path.read_text(errors="backslashreplace") for path in (self._out, self._err))
        return out, err

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Started:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self.wait()


def _asked(request: dict[str, Any]) -> str:
    """The server's answer, one line."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    if not select.select([server.stdout], [], [], LONGEST_S)[0]:
        server.kill()
        raise subprocess.TimeoutExpired("the server of commands", LONGEST_S)
    answer = server.stdout.readline()
    assert answer, "the server of commands has ended"
    return answer.strip()


def _server() -> subprocess.Popen[str]:
    if _servers and _servers[-1].poll() is None:
        return _servers[-1]
    command = [sys.executable, "-P", str(Path(__file__).resolve())]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    _servers.append(server)
    atexit.register(server.kill)
    return server


def _serve() -> None:
    """Answer each line of requests: a process to start with its number, a number with the exit code if it has one."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    _import_what_commands_use()
    _spare_what_has_tests_elsewhere()
    for line in requests:
        request = json.loads(line)
        if "poll" in request:
            ended, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = str(os.waitstatus_to_exitcode(status)) if ended else "runs"
        else:
            child = os.fork()
            if child == 0:
                requests.close()
                answers.close()
                _become(request)
            answer = str(child)
        answers.write(f"{answer}\n")
        answers.flush()


def _import_what_commands_use() -> None:
    """What others wrote, then all of our own that needs no ONNX Runtime: that starts a thread while it is imported."""
    for name in (
        "altair",
        "gymnasium",
        "jinja2",
        "onnx",
        "pydantic",
        "rich.console",
        "torch.export",
        "torch_pruning",
        "typer",
    ):
        importlib.import_module(name)
    with _absent("onnxruntime"):
        for package in ("policypress_runtime", "policypress"):
            for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
                if not module.name.endswith("__main__"):
                    with contextlib.suppress(ImportError):
                        importlib.import_module(module.name)
    tasks = Path("/proc/self/task")
    assert not tasks.is_dir() or len(list(tasks.iterdir())) == 1, "a process with threads cannot be forked"
    # Whoever collects garbage in a fork would copy all that these modules are.
    gc.collect()
    gc.freeze()


@contextlib.contextmanager
def _absent(name: str) -> Iterator[None]:
    """Importing ``name`` is an error."""
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


@contextlib.contextmanager
def _beside_this_file() -> Iterator[None]:
    """Modules are found beside this file, where no command finds any."""
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        yield
    finally:
        del sys.path[0]


def _spare_what_has_tests_elsewhere() -> None:
    from policypress.engine.executors import choice
    from policypress.engine.executors.debug_executor import DebugExecutor
    from policypress.engine.executors.local_executor import LocalExecutor
    from policypress.export import compiled_c, footprint
    from policypress.report import page

    with _beside_this_file():
        from kept_for_a_run import once_for_all_tests
        from kernels_here import PLAIN_ALONE

    def executor(jobs: int | None = None) -> Any:
        return DebugExecutor() if jobs == 1 else LocalExecutor(jobs)

    vars(choice)["LocalExecutor"] = executor
    for module in (compiled_c, footprint):
        vars(module)["FLAGS"] += PLAIN_ALONE
    make = page._library
    vars(page)["_library"] = lambda: once_for_all_tests("vega.js", make)


def _become(request: dict[str, Any]) -> None:
    """Run the command in this process and end it."""
    if request["session"]:
        os.setsid()
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT, 0o600), descriptor)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    # As Python does when it starts.
    named = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(entry)]
    sys.path[:0] = [entry for entry in named if entry not in sys.path]
    sys.argv = [request["script"] or "policypress", *request["arguments"]]
    code = 1
    try:
        if request["script"]:
            sys.path.insert(0, str(Path(request["script"]).parent))
            runpy.run_path(request["script"], run_name="__main__")
        else:
            importlib.import_module("policypress.cli.app").main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
