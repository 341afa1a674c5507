"""Time of the generated C as C calls it, and a program that holds nothing but the policy."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime_comparison.networks import Array

FLAGS = ("-O3", "-ffp-contract=off", "-w")
ACTION_BYTES = 1 << 16
# What is computed is written to memory that the compiler cannot know to be unread.
_TIMER = """
#include "policy.c"
#include <time.h>
double pb_seconds(const void *observations, void *actions, int batch, int calls)
{
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < calls; i++)
        if (batch == 1)
            policy_act(observations, actions);
        else
            policy_act_batch(observations, actions, (size_t)batch);
    clock_gettime(CLOCK_MONOTONIC, &b);
    return ((double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec)) / calls;
}
"""
_PROGRAM = """
#include "policy.c"
#include <stdio.h>
#include <string.h>
static unsigned char observation[1 << 20], action[1 << 16];
int main(void)
{
    char line[256];
    int status = 0;
    for (int i = 0; i < 100; i++)
        status |= policy_act((const void *)observation, (void *)action);
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "VmHWM:", 6) == 0)
            fputs(line + 6, stdout);
    return status & POLICY_NOT_FINITE;
}
"""


@dataclass(frozen=True)
class StaticProgram:
    """A static program that acts a hundred times: its peak memory, size on disk, and time from start to end."""

    peak_rss_bytes: int
    file_bytes: int
    run_s: float


class CPolicy:
    """Generated C of one artifact, built here.

    Args:
        artifact: the ONNX file.
        compiler: a C compiler.
    """

    def __init__(self, artifact: Path, compiler: str = "cc") -> None:
        self._folder, self._compiler = Path(tempfile.mkdtemp(prefix="policypress-")), compiler
        generator = [sys.executable, "-P", "-m", "policypress_runtime.codegen"]
        command = [*generator, str(artifact), "-o", str(self._folder / "policy.c")]
        subprocess.run([*command, "--constants", "incbin"], check=True)
        self._build("timer", _TIMER, "-shared", "-fPIC")
        self._library = ctypes.CDLL(str(self._folder / "timer"))
        self._library.pb_seconds.restype = ctypes.c_double
        self._actions = ctypes.create_string_buffer(ACTION_BYTES)

    def _build(self, name: str, source: str, *flags: str) -> None:
        (self._folder / f"{name}.c").write_text(source)
        command = [self._compiler, *FLAGS, *flags, f"{name}.c", "-o", name]
        subprocess.run(command, cwd=self._folder, check=True)

    def seconds(self, observations: Array, batch: int, calls: int, repeats: int = 5) -> float:
        """Time of one call, the best of a few loops."""
        rows = np.ascontiguousarray(observations[:batch])
        pointer = ctypes.c_void_p(rows.ctypes.data)
        return float(min(self._library.pb_seconds(pointer, self._actions, batch, calls) for _ in range(repeats)))

    def static_program(self) -> StaticProgram:
        """Build a static program of the policy, and run it."""
        self._build("program", _PROGRAM, "-static", "-s")
        command = [str(self._folder / "program")]
        elapsed = []
        for _ in range(5):
            start = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            elapsed.append(time.perf_counter() - start)
        size = (self._folder / "program").stat().st_size
        return StaticProgram(1024 * int(done.stdout.split()[0]), size, min(elapsed))
