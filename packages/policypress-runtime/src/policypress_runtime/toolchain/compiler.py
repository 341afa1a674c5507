"""The C compiler of this machine, and what else it takes to build a shared library or an extension module."""

from __future__ import annotations

import functools
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from policypress_runtime.errors import NativeBuildError, UnusableCompilerError

COMPILERS = ("cc", "gcc", "clang")
VARIABLE, FLAGS_VARIABLE = "CC", "CFLAGS"
LIMIT_S = 300.0
# For a file of one line.
_CHECK_LIMIT_S = 30.0
_SMALLEST = "int policypress_smallest(void) { return 0; }\n"
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
            done = _ran(command, source.parent, LIMIT_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UnusableCompilerError("The C compiler did not run.", got=str(error), hint=INSTALL) from error
        if done.returncode != 0 or not output.is_file():
            check_compiler((*self.command, *self.options))
            raise NativeBuildError(
                "The C compiler refused the generated file.",
                got=f"{self.command[0]}: {_words_of(done)}",
                hint=f"Name another one in {VARIABLE}, or use ONNX Runtime: --runtime onnxruntime.",
            )


def check_compiler(command: tuple[str, ...]) -> None:
    """Compile the smallest file, once in a process: what refuses that refuses everything.

    Args:
        command: the compiler with its options.

    Raises:
        UnusableCompilerError: it does not run, takes longer than half a minute, or gives no library.
    """
    reason = _refusal(command)
    if reason is not None:
        raise UnusableCompilerError(
            "The C compiler cannot compile anything.",
            got=f"{' '.join(command)}: {reason}",
            expected="a C99 compiler that makes shared libraries",
            hint=f"Name another one in {VARIABLE}, or unset {VARIABLE} and {FLAGS_VARIABLE}; ONNX Runtime needs none: "
            "--runtime onnxruntime.",
        )


@functools.cache
def _refusal(command: tuple[str, ...]) -> str | None:
    with tempfile.TemporaryDirectory(prefix="policypress-") as folder:
        source, output = Path(folder) / "smallest.c", Path(folder) / "smallest.so"
        source.write_text(_SMALLEST, encoding="utf-8")
        try:
            done = _ran([*command, *flags(), source.name, "-o", str(output)], Path(folder), _CHECK_LIMIT_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return None if done.returncode == 0 and output.is_file() else _words_of(done)


def _ran(command: Sequence[str], folder: Path, limit_s: float) -> subprocess.CompletedProcess[str]:
    """A compiler's run in ``folder``, in a session of its own, which Ctrl-C does not reach."""
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=limit_s,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def _words_of(done: subprocess.CompletedProcess[str]) -> str:
    """What a compiler that failed said first."""
    lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
    return " ".join(lines[:1]) or f"exit status {done.returncode}"


def _stated(variable: str) -> tuple[str, ...]:
    """The words of an environment variable, as a shell would read them.

    Raises:
        UnusableCompilerError: a quotation mark that is not closed.
    """
    text = os.environ.get(variable, "")
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UnusableCompilerError(
            f"{variable} does not parse.",
            got=f"{variable}={text}: {error}",
            expected="words as a shell reads them",
            hint=f"Correct {variable}, or unset it.",
        ) from error


def flags() -> tuple[str, ...]:
    """How an extension module is built on this system."""
    return (*FLAGS, "-undefined", "dynamic_lookup") if sys.platform == "darwin" else FLAGS


def find_compiler(headers: bool = True) -> Compiler:
    """The compiler that ``CC`` names, or else the first of cc, gcc and clang, with the options in ``CFLAGS``.

    Args:
        headers: extension modules are to be built, for which Python's headers are needed.

    Raises:
        NativeBuildError: there is none, or Python's headers are not installed.
        UnusableCompilerError: what ``CC`` or ``CFLAGS`` hold does not parse.
    """
    named, found = os.environ.get(VARIABLE), compiler_command()
    if found is None:
        raise NativeBuildError(
            "There is no C compiler to build the native runtime with.",
            got=f"{VARIABLE}={named}" if named else f"none of {', '.join(COMPILERS)} on the path",
            hint=INSTALL,
        )
    options = _stated(FLAGS_VARIABLE)
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
    """What ``CC`` names, or else the first of cc, gcc and clang, with its path; None where there is none.

    Raises:
        UnusableCompilerError: what ``CC`` holds does not parse.
    """
    named = os.environ.get(VARIABLE)
    candidates = [_stated(VARIABLE)] if named else [(name,) for name in COMPILERS]
    return next((found for found in map(_located, candidates) if found is not None), None)


def _located(command: tuple[str, ...]) -> tuple[str, ...] | None:
    path = shutil.which(command[0]) if command else None
    return None if path is None else (path, *command[1:])


def python_abi() -> str:
    """What an extension module must fit: the interpreter's binary interface, the processor and the system."""
    return "|".join([str(sysconfig.get_config_var("EXT_SUFFIX")), platform.machine(), sys.platform])
