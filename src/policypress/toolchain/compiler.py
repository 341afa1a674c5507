"""The C compiler of this machine, and what else it takes to build a shared library or an extension module."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from policypress.errors import NativeBuildError

COMPILERS = ("cc", "gcc", "clang")
VARIABLE, FLAGS_VARIABLE = "CC", "CFLAGS"
LIMIT_S = 300.0
# -O3 because gcc vectorises no element-wise loops below it. Arithmetic as it is written, so that every compiler and
# kernel set gives the same bits.
FLAGS = ("-O3", "-fPIC", "-shared", "-ffp-contract=off", "-fvisibility=hidden", "-fno-strict-aliasing", "-w")
INSTALL = (
    "Install a C compiler and Python's headers (Debian: apt install gcc python3-dev; macOS: xcode-select --install); "
    "without them ONNX Runtime is used."
)


@dataclass(frozen=True)
class Compiler:
    """A compiler that can be called, the folder of ``Python.h`` or None, and options beside :func:`flags`."""

    command: tuple[str, ...]
    include: Path | None
    options: tuple[str, ...] = ()

    def identity(self) -> str:
        """What changes when another compiler, or other flags, would build: nothing has to be run to know it."""
        program = Path(self.command[0]).resolve()
        known = program.stat()
        file = (str(program), str(known.st_size), str(known.st_mtime_ns))
        return "|".join([*self.command, *flags(), *self.options, *file])

    def build(self, source: Path, output: Path) -> None:
        """Compile one file into a shared library, in the folder of ``source``.

        Raises:
            NativeBuildError: the compiler does not run, or refuses the file; says what it said.
        """
        headers = () if self.include is None else (f"-I{self.include}",)
        command = [*self.command, *flags(), *self.options, *headers, source.name, "-o", str(output), "-lm"]
        try:
            done = subprocess.run(
                command,
                cwd=source.parent,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=LIMIT_S,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NativeBuildError("The C compiler did not run.", got=str(error), hint=INSTALL) from error
        if done.returncode != 0 or not output.is_file():
            words = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
            raise NativeBuildError(
                "The C compiler refused the generated file.",
                got=f"{self.command[0]}: {' '.join(words[:1]) or f'exit status {done.returncode}'}",
                hint=f"Name another one in {VARIABLE}, or use ONNX Runtime: --runtime onnxruntime.",
            )


def flags() -> tuple[str, ...]:
    """How an extension module is built on this system."""
    return (*FLAGS, "-undefined", "dynamic_lookup") if sys.platform == "darwin" else FLAGS


def find_compiler(headers: bool = True) -> Compiler:
    """The compiler that ``CC`` names, or else the first of cc, gcc and clang, with the options in ``CFLAGS``.

    Args:
        headers: extension modules are to be built, for which Python's headers are needed.

    Raises:
        NativeBuildError: there is none, or Python's headers are not installed.
    """
    named, found = os.environ.get(VARIABLE), compiler_command()
    if found is None:
        raise NativeBuildError(
            "There is no C compiler to build the native runtime with.",
            got=f"{VARIABLE}={named}" if named else f"none of {', '.join(COMPILERS)} on the path",
            hint=INSTALL,
        )
    options = tuple(shlex.split(os.environ.get(FLAGS_VARIABLE, "")))
    if not headers:
        return Compiler(found, None, options)
    include = Path(sysconfig.get_paths()["include"])
    if not (include / "Python.h").is_file():
        raise NativeBuildError(
            "Python's headers are not installed, so no extension module can be built.",
            got=f"no {include / 'Python.h'}",
            hint=INSTALL,
        )
    return Compiler(found, include, options)


def compiler_command() -> tuple[str, ...] | None:
    """What ``CC`` names, or else the first of cc, gcc and clang, with its path; None where there is none."""
    named = os.environ.get(VARIABLE)
    candidates = [tuple(shlex.split(named))] if named else [(name,) for name in COMPILERS]
    return next((found for found in map(_located, candidates) if found is not None), None)


def _located(command: tuple[str, ...]) -> tuple[str, ...] | None:
    path = shutil.which(command[0]) if command else None
    return None if path is None else (path, *command[1:])


def python_abi() -> str:
    """What an extension module must fit: the interpreter's binary interface, the processor and the system."""
    return "|".join([str(sysconfig.get_config_var("EXT_SUFFIX")), platform.machine(), sys.platform])
