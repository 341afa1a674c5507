"""Generated C, compiled here and called through ctypes, beside ONNX Runtime on the same file."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from small_policies import observations_of

from kernels_here import PLAIN_ALONE
from policypress.policy.policy import Policy
from policypress.writers.onnx_writer import contract_of, embed_contract, to_onnx
from policypress_runtime.codegen.program import Program
from policypress_runtime.codegen.reader import read_program
from policypress_runtime.codegen.render import Source, render
from policypress_runtime.codegen.rendering.interface import Sizes
from policypress_runtime.codegen.rendering.selftest import Goldens
from policypress_runtime.codegen.targets import TARGETS
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime

STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
DTYPES: dict[str, type[np.generic]] = {"float32": np.float32, "uint8": np.uint8, "int8": np.int8, "int32": np.int32}


def compiler(name: str = "cc") -> str:
    """Path of a compiler; the test is skipped where it is absent."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"there is no {name} on this machine")
    return path


def model_of(policy: Policy) -> bytes:
    """The artifact of ``policy``, not proven."""
    model = to_onnx(policy)
    embed_contract(model, contract_of(policy, "none", "", "fp32", "0"))
    return bytes(model.SerializeToString())


def source_of(
    model: bytes,
    target: str = "host",
    constants: Literal["text", "incbin"] = "text",
    goldens: Goldens | None = None,
) -> Source:
    """The C of an artifact."""
    return render(read_program(model), TARGETS[target], constants=constants, goldens=goldens)


def written(source: Source, folder: Path) -> Path:
    """The files in ``folder``; returns the ``.c``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "policy.h").write_text(source.h)
    if source.weights is not None:
        (folder / source.weights_file).write_bytes(source.weights)
    (folder / "policy.c").write_text(source.c)
    return folder / "policy.c"


def build(source: Source, folder: Path, *flags: str, cc: str = "cc") -> Path:
    """Compile to a shared object with every warning an error; with the plain kernels unless ``flags`` are given."""
    file = written(source, folder)
    output = folder / f"policy-{cc}.so"
    command = [
        compiler(cc),
        *STRICT,
        "-O1",
        *(flags or PLAIN_ALONE),
        "-shared",
        "-fPIC",
        "-DPOLICY_SELECTABLE",
        file.name,
        "-o",
        output,
    ]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[:4000]
    return output


@dataclass
class Compiled:
    """A compiled policy."""

    program: Program
    shared_object: ctypes.CDLL
    sizes: Sizes

    @staticmethod
    def of(model: bytes, folder: Path, *flags: str, cc: str = "cc", **how: Any) -> Compiled:
        source = source_of(model, **how)
        library = ctypes.CDLL(str(build(source, folder, *flags, cc=cc)))
        return Compiled(read_program(model), library, source.sizes)

    def use(self, kernel: str) -> bool:
        """Choose a kernel set; False where this machine lacks it."""
        return bool(self.shared_object.policy_use_kernel(kernel.encode()) == 0)

    @property
    def kernel(self) -> str:
        self.shared_object.policy_kernel.restype = ctypes.c_char_p
        return str(self.shared_object.policy_kernel().decode())

    def inputs(self, observations: Any) -> list[Any]:
        """Observations in the C's dtypes."""
        parts = []
        for part in self.program.inputs:
            key = part.spec.name.partition(".")[2]
            values = observations[key] if isinstance(observations, dict) else observations
            parts.append(np.ascontiguousarray(values, dtype=DTYPES[part.storage.kind]))
        return parts

    def run(self, observations: Any, *, batch: bool = True) -> tuple[Any, Any, int]:
        """Actions ``(count, size)``, scores (or None) and status."""
        inputs = self.inputs(observations)
        count = len(inputs[0])
        action = np.full((count, self.program.action.size), 7, DTYPES[self.program.action.kind])
        outputs = [action]
        if self.program.scores is not None:
            outputs.insert(0, np.zeros((count, self.program.scores.size), np.float32))
        call = ("run" if self.program.scores is not None else "act") + ("_batch" if batch else "")
        given, scratch_bytes = self.sizes.given, self.sizes.scratch
        if batch:
            given, scratch_bytes = self.sizes.batch_given, self.sizes.batch_scratch
        function = getattr(self.shared_object, f"policy_{call}{'_with' if given else ''}")
        # Memory that begins anywhere, holds anything, and has a border that must stay as it is.
        memory = np.full(scratch_bytes + 64, 0xA5, np.uint8)
        begin = memory[17:]
        if given:
            function = functools.partial(function, _pointer(begin))
        if batch:
            status = function(*map(_pointer, [*inputs, *outputs]), ctypes.c_size_t(count))
        else:
            status = 0
            for row in range(count):
                status |= function(*(_pointer(values[row : row + 1]) for values in [*inputs, *outputs]))
        assert (memory[:17] == 0xA5).all()
        assert (begin[scratch_bytes:] == 0xA5).all()
        return action, outputs[0] if len(outputs) > 1 else None, status


def _pointer(values: Any) -> ctypes.c_void_p:
    return ctypes.c_void_p(values.ctypes.data)


def agreement(policy_or_model: Policy | bytes, got: Compiled, observations: Any) -> float:
    """Share of components, of scores or actions, that are within 1e-4 of the range of ONNX Runtime's."""
    model = policy_or_model if isinstance(policy_or_model, bytes) else model_of(policy_or_model)
    want = OnnxRuntime(model).run_batch(observations)
    shares = []
    for batch in (True, False):
        action, scores, _ = got.run(observations, batch=batch)
        right = want["action"].reshape(len(action), -1) if scores is None else want["scores"]
        here = action if scores is None else scores
        span = right.max() - right.min() + 1e-3
        shares.append(float((np.abs(here - right) <= 1e-4 * span).mean()))
    return min(shares)


def observations_for(policy: Policy, count: int = 70, seed: int = 0) -> Any:
    """Random observations of the policy's space."""
    return observations_of(policy.observation_space, count, seed)
