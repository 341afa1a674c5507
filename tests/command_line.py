"""``policypress`` as a process of its own, without the seconds that its imports take.

A server imports the libraries that commands use, once for all tests of a worker of pytest, and forks for each command.
Unlike the tests' own process it has neither their checks of shapes nor their filters of warnings, and no thread. What
a test says about the start itself (the import path, signals, what is imported) starts Python anew instead.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import runpy
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

LONGEST_S = 300
_servers: list[subprocess.Popen[str]] = []


def run(
    *arguments: str | Path, cwd: Path | None = None, script: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """``policypress``, or the Python of ``script``, with ``arguments``; never with a terminal.

    The environment is that of this moment.
    """
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.TemporaryDirectory(prefix="policypress-") as folder:
        out, err = Path(folder, "stdout"), Path(folder, "stderr")
        request = {
            "script": None if script is None else str(script),
            "arguments": [*map(str, arguments)],
            "cwd": str(cwd or Path.cwd()),
            "environment": dict(os.environ),
            "stdout": str(out),
            "stderr": str(err),
        }
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        if not select.select([server.stdout], [], [], LONGEST_S)[0]:
            server.kill()
            raise subprocess.TimeoutExpired(["policypress", *request["arguments"]], LONGEST_S)
        answer = server.stdout.readline()
        assert answer, "the server of commands has ended"
        # Read as a pipe would be: what is no text stands there as it is escaped.
        texts = [path.read_text(errors="backslashreplace") for path in (out, err)]
        return subprocess.CompletedProcess(["policypress", *request["arguments"]], int(answer), *texts)


def _server() -> subprocess.Popen[str]:
    if _servers and _servers[-1].poll() is None:
        return _servers[-1]
    command = [sys.executable, "-P", str(Path(__file__).resolve())]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    _servers.append(server)
    atexit.register(server.kill)
    return server


def _serve() -> None:
    """Answer each line of requests with an exit code."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    _import_what_commands_use()
    for line in requests:
        child = os.fork()
        if child == 0:
            requests.close()
            answers.close()
            _become(json.loads(line))
        _, status = os.waitpid(child, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()


def _import_what_commands_use() -> None:
    """What others wrote: each command imports our own, in the order in which it does."""
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
    # ONNX Runtime is not among them: it starts a thread while it is imported.
    tasks = Path("/proc/self/task")
    assert not tasks.is_dir() or len(list(tasks.iterdir())) == 1, "a process with threads cannot be forked"


def _become(request: dict[str, Any]) -> None:
    """Run the command in this process and end it."""
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
