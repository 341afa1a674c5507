"""C artifacts: generated from a proven ONNX artifact, compiled, proven again, and then written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from policypress.artifact.c.reader import read_program
from policypress.artifact.c.render import Source, render
from policypress.artifact.c.targets import Target
from policypress.export.compiled_c import CompiledC, compiled
from policypress.export.footprint import Footprint, footprint
from policypress.export.goldens import goldens_of, taken
from policypress.export.parity import Observations, ParityReport, check_outputs, decided_by_of
from policypress.export.publish import ProvenArtifact
from policypress.policy.policy import ACTION
from policypress.toolchain.compiler import compiler_command
from policypress.whole_file import write_whole

Array = npt.NDArray[Any]
# Rows that are also computed alone, which is another function of the C than the batch form.
ONE_BY_ONE = 64


@dataclass(frozen=True)
class ProvenSource:
    """C that was proven to do what the policy does, and has not been written yet.

    ``parity`` is the worst of the kernel sets that this machine can run, ``kernels``; None without a compiler.
    """

    source: Source
    name: str
    footprint: Footprint
    parity: ParityReport | None
    kernels: tuple[str, ...]
    notices: tuple[str, ...]


def prove_c(artifact: ProvenArtifact, observations: Observations, target: Target, name: str) -> ProvenSource:
    """C for ``artifact``, compiled and proven on this machine.

    What is written for another machine is proven here with its plain kernels, from which the others differ in no bit
    of their integers.

    Raises:
        NetworkError: an operator that C code cannot be written for.
        ParityError: the C would not do what the policy does.
        ExecutionError: the compiler does not accept the C.
    """
    program = read_program(artifact.model)
    source = render(program, target, name)
    compiler = compiler_command()
    if compiler is None:
        goldens = goldens_of(program, artifact.policy, artifact.model, observations, None)
        whole = render(program, target, name, goldens=goldens)
        return ProvenSource(whole, name, footprint(source, target, name), None, (), (_NO_COMPILER,))
    with compiled(source, program, artifact.contract, compiler, name) as runtime:
        proof = _Proof(artifact, observations)
        reports = {kernel: proof.report(runtime) for kernel in source.kernels if runtime.use(kernel)}
        goldens = goldens_of(program, artifact.policy, artifact.model, observations, runtime)
    whole = render(program, target, name, goldens=goldens)
    worst = max(reports.values(), key=lambda report: report.of_allowed)
    size = footprint(source, target, name)
    return ProvenSource(whole, name, size, worst, tuple(reports), _notices(target, size))


class _Proof:
    """Checks the outputs of one kernel set after the other; what was seen before is not checked again."""

    def __init__(self, artifact: ProvenArtifact, observations: Observations) -> None:
        self._artifact, self._observations = artifact, observations
        self._decided_by = decided_by_of(artifact.contract)
        self._seen: list[tuple[Array, ParityReport]] = []

    def report(self, runtime: CompiledC) -> ParityReport:
        """Both forms of the C: all observations as a batch, and some one by one."""
        together = runtime.run_batch(self._observations)
        rows = np.unique(np.linspace(0, len(together[ACTION]) - 1, ONE_BY_ONE).astype(np.int64))
        single = [runtime.run_batch(taken(self._observations, rows[i : i + 1])) for i in range(len(rows))]
        joined = {name: np.concatenate([part[name] for part in single]) for name in together}
        alike = all(np.array_equal(joined[name], together[name][rows]) for name in together)
        reports = [self._check(together, self._observations)]
        if not alike:
            reports.append(self._check(joined, taken(self._observations, rows)))
        return max(reports, key=lambda report: report.of_allowed)

    def _check(self, outputs: Mapping[str, Array], observations: Observations) -> ParityReport:
        values = outputs[self._decided_by]
        for seen, report in self._seen:
            if np.array_equal(seen, values):
                return report
        report = check_outputs(
            self._artifact.policy, self._artifact.model, self._artifact.contract, outputs, observations
        )
        self._seen.append((values, report))
        return report


_NO_COMPILER = (
    "There is no C compiler here, so the C was not run: the ONNX artifact that it is written from is proven. "
    "Compile with -DPOLICY_SELFTEST and run it on the target."
)


def _notices(target: Target, size: Footprint) -> tuple[str, ...]:
    if size.compiler is None:
        return (f"{target.compiler[0]} is not installed, so the size of the code is not known.",)
    return ()


def c_name(output: Path) -> str:
    """The prefix of the C names for a file: its stem in lower case, with underscores.

    >>> c_name(Path("out/Half-Cheetah.c"))
    'half_cheetah'
    """
    stem = re.sub(r"[^a-z0-9]+", "_", output.stem.lower()).strip("_")
    return stem if stem and not stem[0].isdigit() else f"policy_{stem}".rstrip("_")


def publish_c(proven: ProvenSource, path: Path) -> None:
    """Write the ``.c`` and its header; each is whole or the old one stays.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    write_whole(path.with_name(f"{proven.name}.h"), proven.source.h.encode())
    write_whole(path, proven.source.c.encode())
