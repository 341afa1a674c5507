"""Generated C, compiled for this machine and called: the runtime that proves a C artifact."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from policypress_runtime.codegen.program import Program
from policypress_runtime.codegen.render import Source
from policypress_runtime.codegen.rendering.interface import Sizes
from policypress_runtime.contract import Contract, TensorSpec
from policypress_runtime.errors import ExecutionError
from policypress_runtime.runtimes.memory import parted, parted_rows, rows_of

Array = npt.NDArray[Any]
FLAGS = ("-std=c99", "-O2", "-ffp-contract=off", "-shared", "-fPIC")
COMPILE_TIMEOUT_S = 600
DTYPES: dict[str, type[np.generic]] = {"float32": np.float32, "uint8": np.uint8, "int8": np.int8, "int32": np.int32}
NAME = "policy"


class CompiledC:
    """A compiled policy with :meth:`run_batch` of the runtimes.

    Args:
        library: a shared object built with ``-DPOLICY_SELECTABLE``.
        program: what it was generated from.
        contract: names, shapes and dtypes of inputs and outputs.
        name: prefix of the C names.
        sizes: what the header says of working memory.
    """

    def __init__(self, library: ctypes.CDLL, program: Program, contract: Contract, name: str, sizes: Sizes) -> None:
        self.contract = contract
        self._scratch = ctypes.create_string_buffer(sizes.batch_scratch) if sizes.batch_given else None
        self._library, self._program, self._name = library, program, name
        kernel = self._function("kernel")
        kernel.restype = ctypes.c_char_p
        self._kernel = kernel

    @property
    def kernel(self) -> str:
        """Name of the kernel set in use."""
        return bytes(self._kernel()).decode()

    def use(self, kernel: str) -> bool:
        """Use a kernel set; False where this machine does not have its instructions."""
        return int(self._function("use_kernel")(kernel.encode())) == 0

    def run_batch(self, observations: Array | Mapping[str, Array]) -> dict[str, Array]:
        """Every output of the contract by name, in its dtype, for a batch of observations.

        Of a policy with memory the batch holds the states by name as well, and the next ones come out too.
        """
        inputs = [self._input(part.spec, part.storage.kind, observations) for part in self._program.inputs]
        count = len(inputs[0])
        states = self._states(observations, count)
        action = np.zeros((count, self._program.action.size), DTYPES[self._program.action.kind])
        arrays = [*inputs, action]
        scores = None
        if self._program.scores is not None:
            scores = np.zeros((count, self._program.scores.size), np.float32)
            arrays.insert(-1, scores)
        call = "act_batch" if scores is None else "run_batch"
        function = self._function(call if self._scratch is None else f"{call}_with")
        scratch = [] if self._scratch is None else [self._scratch]
        arrays = arrays if states is None else [states, *arrays]
        function(*scratch, *(ctypes.c_void_p(array.ctypes.data) for array in arrays), ctypes.c_size_t(count))
        given = {"action": action, "scores": scores}
        found = {
            spec.name: np.asarray(given[spec.name]).reshape(count, *spec.shape).astype(spec.dtype)
            for spec in self.contract.outputs
        }
        return found if states is None else {**found, **parted_rows(states, self.contract.state)}

    def _states(self, observations: Array | Mapping[str, Array], count: int) -> Array | None:
        """The state of each row as the C's struct has it, all tensors one behind the other."""
        specs = self.contract.state
        return rows_of(parted(observations, self.contract)[1], specs, count) if specs else None

    def _function(self, name: str) -> Any:
        return getattr(self._library, f"{self._name}_{name}")

    def _input(self, spec: TensorSpec, kind: str, observations: Array | Mapping[str, Array]) -> Array:
        values = observations[spec.name.partition(".")[2]] if isinstance(observations, Mapping) else observations
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(values, dtype=DTYPES[kind])


@contextmanager
def compiled(
    source: Source, program: Program, contract: Contract, compiler: Sequence[str], name: str
) -> Iterator[CompiledC]:
    """``source`` built in a folder of its own, which is gone afterwards.

    Raises:
        ExecutionError: the compiler does not accept the C.
    """
    with tempfile.TemporaryDirectory(prefix="policypress-") as folder:
        (Path(folder) / f"{name}.h").write_text(source.h, encoding="utf-8")
        (Path(folder) / f"{name}.c").write_text(source.c, encoding="utf-8")
        output = Path(folder) / f"{name}.so"
        define = f"-D{name.upper()}_SELECTABLE"
        command = [*compiler, *FLAGS, define, f"{name}.c", "-o", str(output)]
        run_compiler(command, Path(folder))
        yield CompiledC(ctypes.CDLL(str(output)), program, contract, name, source.sizes)


def run_compiler(command: list[str], folder: Path) -> None:
    """Run a compiler in ``folder``.

    Raises:
        ExecutionError: it fails, or takes longer than ten minutes.
    """
    try:
        run = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=COMPILE_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ExecutionError(
            "The compiler does not run.", got=f"{command[0]}: {error}", expected="a C compiler"
        ) from error
    if run.returncode != 0:
        raise ExecutionError(
            "The compiler does not accept the generated C.",
            got="\n".join(run.stderr.splitlines()[:8]) or f"exit code {run.returncode}",
            expected="a C99 compiler",
            hint="This is a bug in policypress or the compiler: please report it with the agent and the recipe.",
        )
