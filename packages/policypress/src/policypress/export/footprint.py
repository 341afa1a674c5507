"""What generated C takes on its target: flash and RAM, from the program, and the size of its code where it compiles."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from policypress.export.compiled_c import run_compiler
from policypress_runtime.codegen.render import Source
from policypress_runtime.codegen.targets import Target
from policypress_runtime.errors import ExecutionError

FLAGS = ("-std=c99", "-O2", "-ffp-contract=off")


@dataclass(frozen=True)
class Footprint:
    """Bytes of one policy on a target.

    ``code_bytes`` and ``compiler`` are None where the target's compiler is not installed. ``constants_bytes`` are
    weights, biases, scales and tables as they lie in flash, padding included. ``scratch_bytes`` are on the stack, or
    given by the caller where ``scratch_given``.
    """

    target: str
    constants_bytes: int
    code_bytes: int | None
    scratch_bytes: int
    batch_scratch_bytes: int
    compiler: str | None
    scratch_given: bool = False

    @property
    def flash_bytes(self) -> int:
        """Constants, and code as far as it is known."""
        return self.constants_bytes + (self.code_bytes or 0)


def footprint(source: Source, target: Target, name: str) -> Footprint:
    """Sizes of ``source`` compiled for ``target``.

    Raises:
        ExecutionError: the target's compiler does not accept the C.
    """
    code, compiler = _code_bytes(source, target, name)
    sizes = source.sizes
    return Footprint(target.name, sizes.flash, code, sizes.scratch, sizes.batch_scratch, compiler, sizes.given)


def _code_bytes(source: Source, target: Target, name: str) -> tuple[int | None, str | None]:
    compiler = shutil.which(target.compiler[0])
    size = shutil.which(target.compiler[0].removesuffix("gcc").removesuffix("cc") + "size")
    if compiler is None or size is None:
        return None, None
    with tempfile.TemporaryDirectory(prefix="policypress-") as folder:
        (Path(folder) / f"{name}.h").write_text(source.h, encoding="utf-8")
        (Path(folder) / f"{name}.c").write_text(source.c, encoding="utf-8")
        command = [compiler, *FLAGS, *target.compiler[1:], "-c", f"{name}.c", "-o", f"{name}.o"]
        run_compiler(command, Path(folder))
        listing = subprocess.run([size, "-A", f"{name}.o"], cwd=folder, capture_output=True, text=True)
    if listing.returncode != 0:
        raise ExecutionError("The sizes of the object file cannot be read.", got=listing.stderr, expected="GNU size")
    rows = [line.split() for line in listing.stdout.splitlines()]
    return sum(int(row[1]) for row in rows if len(row) > 1 and row[0].startswith(".text")), target.compiler[0]
