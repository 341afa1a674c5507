"""A policy as an extension module of Python: ``import policy; policy.act(observation)``, with nothing else installed.

The module needs neither policypress nor numpy, and holds the kernels of every processor of this machine's kind. It fits
the version of Python and the kind of machine that it was built on.
"""

from __future__ import annotations

import keyword
import tempfile
from pathlib import Path

from policypress.export.parity import Observations, ParityReport
from policypress.export.publish import ProvenArtifact
from policypress.export.runtime_gate import check_runtime
from policypress_runtime.atomic_write import write_atomic
from policypress_runtime.errors import OutputError
from policypress_runtime.runtimes.native.build import build_module
from policypress_runtime.runtimes.native.native_runtime import NativeRuntime
from policypress_runtime.toolchain.compiler import find_compiler

SUFFIX = ".so"


def module_name(output: Path) -> str:
    """Name of the module in the file ``output``.

    Raises:
        OutputError: no module can be called so.
    """
    name = output.name.removesuffix(SUFFIX)
    if not (name.isascii() and name.isidentifier() and name.islower()) or keyword.iskeyword(name):
        raise OutputError(
            "A Python module cannot have this name.", got=output.name, expected=f"lower case, e.g. policy{SUFFIX}"
        )
    return name


def publish_extension(artifact: ProvenArtifact, observations: Observations, output: Path) -> ParityReport:
    """Build the module, prove it equal to the policy, and write it to ``output``, whole or not at all.

    Args:
        artifact: what it is made from.
        observations: to prove it on.
        output: ``NAME.so``.

    Raises:
        OutputError: the name or the folder cannot be used.
        NativeBuildError: there is no compiler, or no C can be generated for the artifact.
        ParityError: the module would not do what the policy does; nothing is written.
    """
    name = module_name(output)
    with tempfile.TemporaryDirectory(prefix="policypress-") as folder:
        built = build_module(artifact.model, artifact.contract, name, Path(folder), find_compiler())
        runtime = NativeRuntime.from_module(built, artifact.contract)
        report = check_runtime(artifact.policy, artifact.model, runtime, observations, artifact.episodes)
        write_atomic(output, built.read_bytes())
    return report
