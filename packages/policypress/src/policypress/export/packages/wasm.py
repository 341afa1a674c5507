"""The C as WebAssembly, by clang and lld: for browsers and Node."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from policypress.export.compiled_c import run_compiler
from policypress.export.packages.policy_in_c import PolicyInC
from policypress_runtime.errors import MissingDependencyError

_FLAGS = ("--target=wasm32", "-std=c99", "-O3", "-ffp-contract=off", "-ffreestanding", "-nostdlib")
_SHIM = """#include "@NAME@.h"
@DECLARED@
int act(void) { return @CALL@; }
@PLACES@
"""


def to_wasm(policy: PolicyInC) -> bytes:
    """A module that exports ``memory``, ``act`` and, for each array, a function that gives its place.

    Raises:
        MissingDependencyError: clang or lld is not installed.
        ExecutionError: clang does not accept the C.
    """
    missing = [tool for tool in ("clang", "wasm-ld") if shutil.which(tool) is None]
    if missing:
        raise MissingDependencyError(
            "WebAssembly needs clang and lld.", got=f"no {', '.join(missing)}", hint="apt-get install clang lld"
        )
    arrays = (*policy.inputs, policy.action)
    places = "\n".join(f"void *place_{i}(void) {{ return {part.name}; }}" for i, part in enumerate(arrays))
    with tempfile.TemporaryDirectory(prefix="policypress-") as folder:
        for name, content in policy.sources.items():
            (Path(folder) / name).write_bytes(content)
        (Path(folder) / "shim.c").write_text(policy.filled(_SHIM, PLACES=places))
        exports = [f"-Wl,--export=place_{i}" for i in range(len(arrays))]
        command = ["clang", *_FLAGS, "-Wl,--no-entry,-z,stack-size=131072,--strip-all", "-Wl,--export=act", *exports]
        run_compiler([*command, f"{policy.name}.c", "shim.c", "-o", "policy.wasm"], Path(folder))
        return (Path(folder) / "policy.wasm").read_bytes()
