"""Which kernels this processor gets, asked of a program that the compiler builds: both are tried that way."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from policypress_runtime.codegen.kernels import SETS, fragment
from policypress_runtime.errors import NativeBuildError
from policypress_runtime.toolchain.compiler import Compiler

_LIMIT_S = 20.0


def kernels_here(compiler: Compiler) -> str:
    """Name of the kernel set that a native build chooses on this machine.

    Raises:
        NativeBuildError: the compiler fails, or what it builds does not run.
    """
    tests = "".join(
        f'#if {kernel.guard}\n    if ({kernel.available}) {{ puts("{kernel.name}"); return 0; }}\n#endif\n'
        for target in ("host", "aarch64")
        for kernel in SETS[target]
        if kernel.name != "plain"
    )
    begin = "#if defined(__x86_64__) && defined(__GNUC__)\n    __builtin_cpu_init();\n#endif\n"
    program = (
        f'#include <stdio.h>\n{fragment("platform.h")}\nint main(void)\n{{\n{begin}{tests}    puts("plain");\n}}\n'
    )
    with tempfile.TemporaryDirectory(prefix="policypress-") as folder:
        source, built = Path(folder) / "probe.c", Path(folder) / "probe"
        source.write_text(program, encoding="utf-8")
        try:
            subprocess.run(
                [*compiler.command, "-w", str(source), "-o", str(built)],
                check=True,
                capture_output=True,
                timeout=_LIMIT_S,
                stdin=subprocess.DEVNULL,
            )
            done = subprocess.run([str(built)], check=True, capture_output=True, text=True, timeout=_LIMIT_S)
        except (OSError, subprocess.SubprocessError) as error:
            raise NativeBuildError("The C compiler does not build programs that run here.", got=str(error)) from error
    return done.stdout.strip()
