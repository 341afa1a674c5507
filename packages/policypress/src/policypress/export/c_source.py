"""C artifacts: generated from a proven ONNX artifact, compiled, proven again, and then written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from policypress.export.compiled_c import CompiledC, compiled
from policypress.export.drift import check_drift
from policypress.export.footprint import Footprint, footprint
from policypress.export.golden_sequences import golden_sequences
from policypress.export.goldens import goldens_of, taken
from policypress.export.parity import Observations, ParityReport, check_outputs, compared
from policypress.export.publish import ProvenArtifact
from policypress.export.runtime_gate import fitting
from policypress.policy.policy import ACTION
from policypress_runtime.atomic_write import write_all_atomic
from policypress_runtime.codegen.program import Program
from policypress_runtime.codegen.reader import read_program
from policypress_runtime.codegen.render import Source, render
from policypress_runtime.codegen.rendering.selftest import Goldens
from policypress_runtime.codegen.targets import Target
from policypress_runtime.codegen.text_in_c import is_prefix
from policypress_runtime.errors import OutputError
from policypress_runtime.toolchain.compiler import check_compiler, compiler_command

Array = npt.NDArray[Any]
# Rows that are also computed alone, which is another function of the C than the batch form.
ONE_BY_ONE = 64
# Characters of the names in C that come from a file's name.
MOST = 80


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
        UnusableCompilerError: the compiler cannot compile anything.
        ExecutionError: the compiler does not accept the C.
    """
    program = read_program(artifact.model)
    observations = fitting(observations, artifact.model, artifact.contract)
    source = render(program, target, name)
    compiler = compiler_command()
    if compiler is None:
        goldens = _goldens(program, artifact, observations, None)
        whole = render(program, target, name, goldens=goldens)
        size = footprint(source, target, name)
        return ProvenSource(whole, name, size, None, (), (_no_compiler(name), *_memory_notices(size)))
    check_compiler(compiler)
    with compiled(source, program, artifact.contract, compiler, name) as runtime:
        proof = _Proof(artifact, observations)
        reports = {kernel: proof.report(runtime) for kernel in source.kernels if runtime.use(kernel)}
        goldens = _goldens(program, artifact, observations, runtime)
    whole = render(program, target, name, goldens=goldens)
    worst = max(reports.values(), key=lambda report: report.of_allowed)
    size = footprint(source, target, name)
    return ProvenSource(whole, name, size, worst, tuple(reports), _notices(target, size))


def _goldens(
    program: Program, artifact: ProvenArtifact, observations: Observations, runtime: CompiledC | None
) -> Goldens | None:
    if program.states:
        return golden_sequences(program, artifact.policy, artifact.model, artifact.episodes, runtime)
    return goldens_of(program, artifact.policy, artifact.model, observations, runtime)


class _Proof:
    """Checks the outputs of one kernel set after the other; what was seen before is not checked again."""

    def __init__(self, artifact: ProvenArtifact, observations: Observations) -> None:
        self._artifact, self._observations = artifact, observations
        self._compared = compared(artifact.contract)
        self._seen: list[tuple[dict[str, Array], ParityReport]] = []

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
        worst = max(reports, key=lambda report: report.of_allowed)
        return self._along_episodes(runtime, worst) if self._artifact.contract.state else worst

    def _along_episodes(self, runtime: CompiledC, report: ParityReport) -> ParityReport:
        """With the drift of whole episodes, each step in the state that the C itself left."""
        drift = check_drift(self._artifact.policy, self._artifact.model, self._artifact.episodes, runtime)
        return replace(report, of_allowed=max(report.of_allowed, drift.of_allowed))

    def _check(self, outputs: Mapping[str, Array], observations: Observations) -> ParityReport:
        values = {name: outputs[name] for name in self._compared}
        for seen, report in self._seen:
            if all(np.array_equal(seen[name], value) for name, value in values.items()):
                return report
        report = check_outputs(
            self._artifact.policy, self._artifact.model, self._artifact.contract, outputs, observations
        )
        self._seen.append((values, report))
        return report


# What every file that policypress writes says in its first line.
_OWN = "A policy written by policypress"
_BEGINNING = 4096


def _no_compiler(name: str) -> str:
    return (
        "There is no C compiler here, so the C was not run; only the ONNX artifact that it is written from was proven. "
        f"Compile with -D{name.upper()}_SELFTEST and run it on the target."
    )


def _notices(target: Target, size: Footprint) -> tuple[str, ...]:
    notices = _memory_notices(size)
    if size.compiler is None:
        notices += (f"{target.compiler[0]} is not installed, so the size of the code is not known.",)
    return notices


def _memory_notices(size: Footprint) -> tuple[str, ...]:
    if size.scratch_given:
        return ("The working memory is too large for a stack: the header says how the caller provides it.",)
    return ()


def c_name(output: Path) -> str:
    """The prefix of the C names for a file: its stem in lower case, with underscores.

    >>> c_name(Path("out/Half-Cheetah.c"))
    'half_cheetah'
    """
    stem = re.sub(r"[^a-z0-9]+", "_", output.stem.lower()).strip("_")
    name = stem[:MOST]
    return name if is_prefix(name) else f"policy_{name}".rstrip("_")


def check_c_output(path: Path) -> None:
    """Refuse a name whose header belongs to another file of the folder: two names can become the same in C.

    Raises:
        OutputError: the header is that of another source, or none that policypress wrote.
    """
    name = c_name(path)
    for other in sorted(path.parent.glob("*.c")):
        if other.name != path.name and c_name(other) == name and _begins(other, _OWN, f'#include "{name}.h"'):
            raise OutputError(
                "Another C file in this folder has the same header and the same C names.",
                got=f"{path.name} and {other.name}, both {name} in C",
                expected="names of files that differ in letters or digits",
                hint=f"Choose another name, e.g. -o {name}_2.c, or another folder.",
            )
    header = path.with_name(f"{name}.h")
    if header.exists() and not _begins(header, _OWN):
        raise OutputError(
            "A header that policypress did not write has the name that the C file's header needs.",
            got=str(header),
            expected=f"no {header.name}, or one of policypress",
            hint=f"Choose another name, e.g. -o {name}_2.c, or another folder.",
        )


def _begins(path: Path, *texts: str) -> bool:
    """Whether ``texts`` stand at the beginning of a file."""
    try:
        with path.open("rb") as file:
            start = file.read(_BEGINNING).decode(errors="replace")
    except OSError:
        return False
    return all(text in start for text in texts)


def publish_c(proven: ProvenSource, path: Path) -> None:
    """Write the ``.c`` and its header; both are on the disk before either takes the place of an old file.

    Raises:
        OutputError: the folder cannot be written, the disk is full, or the header is another file's.
    """
    check_c_output(path)
    header = path.with_name(f"{proven.name}.h")
    write_all_atomic({path: proven.source.c.encode(), header: proven.source.h.encode()})
