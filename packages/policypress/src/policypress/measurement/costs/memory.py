"""Peak memory of a fresh process that loads an artifact and acts: what a device must have for it.

The process imports what acting needs and nothing else, so that neither torch nor the caller's own memory counts. A bare
interpreter is measured beside it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from policypress.records import Measurement
from policypress_runtime.errors import ExecutionError
from policypress_runtime.toolchain.child_python import bare_python_command, python_command, python_environment

QUANTITY = "peak_rss"
PROCESSES = 3
_LIMIT_S = 120.0
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

# Linux hands a new program the peak of the process that started it as its own ru_maxrss, so it is no measure of a
# child of a large process; VmHWM belongs to the new program alone. Elsewhere ru_maxrss does, in bytes on macOS.
_REPORT = """
import os, sys
if os.path.exists("/proc/self/status"):
    with open("/proc/self/status") as status:
        print(next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM")))
else:
    import resource
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""
_LOAD_AND_ACT = """
import numpy
from policypress_runtime.runtimes.loading import load_artifact
runtime = load_artifact(sys.argv[1], sys.argv[2])
parts = {s.name.partition(".")[2]: numpy.zeros(s.shape, s.dtype) for s in runtime.contract.inputs}
for _ in range(100):
    runtime.act(parts.get("", parts))
"""


def peak_rss_bytes(artifact: Path, runtime: str = "auto") -> int:
    """Peak resident set, in bytes, of one fresh process that loads ``artifact`` and acts a hundred times.

    Raises:
        ExecutionError: the process failed.
    """
    return _peak(python_command(_LOAD_AND_ACT + _REPORT, [str(artifact.resolve()), runtime]))


def bare_python_bytes() -> int:
    """Peak resident set, in bytes, of an interpreter that does nothing.

    Raises:
        ExecutionError: the process failed.
    """
    return _peak(bare_python_command(_REPORT))


def measure_peak_rss(
    artifacts: Mapping[str, Path],
    machine: Mapping[str, Any],
    runtimes: Mapping[str, str],
    *,
    processes: int = PROCESSES,
    on_process: Callable[[], None] = lambda: None,
) -> dict[str, Measurement]:
    """Peak resident set of each artifact, one sample for each of ``processes`` fresh processes, taking turns.

    Args:
        artifacts: name → file.
        machine: the JSON of where.
        runtimes: name → runtime that acts.
        processes: number of samples.
        on_process: is called after each process.

    Raises:
        ExecutionError: a process failed.
    """
    bare = bare_python_bytes()
    samples: dict[str, list[float]] = {name: [] for name in artifacts}
    for _ in range(processes):
        for name, file in artifacts.items():
            samples[name].append(float(peak_rss_bytes(file, runtimes[name])))
            on_process()
    protocol = {
        "what": "fresh process that loads the artifact and acts",
        "actions": 100,
        "threads": 1,
        "bare_python_bytes": bare,
    }
    return {
        name: Measurement(QUANTITY, "B", tuple(values), {"runtime": runtimes[name], **protocol}, machine)
        for name, values in samples.items()
    }


def _peak(command: list[str]) -> int:
    try:
        # A session of its own, so that Ctrl-C reaches this process, which ends the other.
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            env=python_environment(_ONE_THREAD),
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ExecutionError("The process whose memory is measured did not run.", got=str(error)) from error
    if done.returncode != 0 or not done.stdout.strip().isdigit():
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise ExecutionError(
            "The process whose memory is measured failed.",
            got=f"exit status {done.returncode}: {' '.join(' '.join(lines[-3:]).split()) or 'no output'}",
            expected="a peak resident set",
        )
    return int(done.stdout)
