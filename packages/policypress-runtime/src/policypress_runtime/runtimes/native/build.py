"""From an artifact to an extension module: generate the C, compile it, keep the result.

The generator needs the onnx package, which should not be loaded for inference; it runs in a separate process.
"""

from __future__ import annotations

import functools
import hashlib
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from policypress_runtime.contract import METADATA_KEY, Contract
from policypress_runtime.errors import NativeBuildError, NoNativeFormError
from policypress_runtime.runtimes.native.binding import NAME, SOURCE, STACK_BYTES, binding_source
from policypress_runtime.runtimes.native.processor import left_out
from policypress_runtime.runtimes.onnx_metadata import described
from policypress_runtime.runtimes.stated_contract import check_graph, contract_from
from policypress_runtime.toolchain.cache import Cache
from policypress_runtime.toolchain.child_python import python_command, python_environment
from policypress_runtime.toolchain.compiler import LIMIT_S, Compiler, check_compiler, find_compiler, python_abi
from policypress_runtime.toolchain.processor import features_here

MODULE = NAME
_WORDS = 400
_NO_FORM = "There is no native form of this artifact."
_PACKAGE = Path(__file__).resolve().parents[2]
# What decides the text of the C, beside the artifact.
_GENERATORS = ("codegen", "onnx_files", "runtimes/native")
_GENERATE = "from policypress_runtime.codegen.__main__ import main; sys.exit(main(sys.argv[1:]))"


def built_module(model: bytes, label: str, cache: Cache | None = None) -> tuple[Path, Contract]:
    """The extension module of the artifact ``model``, from the cache or built now, and the artifact's contract.

    Raises:
        ArtifactError: this is no artifact.
        NativeBuildError: there is no compiler.
        NoNativeFormError: the artifact holds what C cannot be generated for; says what.
    """
    contract = contract_of(model, label)
    kept = Cache() if cache is None else cache
    compiler = find_compiler()
    compiler = replace(compiler, options=(*compiler.options, *left_out(features_here())))
    key = module_key(model, compiler)
    found = kept.find(key)
    if found is not None:
        return found, contract
    reason = kept.refusal(key)
    if reason is not None:
        raise NoNativeFormError(_NO_FORM, got=reason)
    check_compiler((*compiler.command, *compiler.options))
    try:
        with tempfile.TemporaryDirectory(prefix="policypress-") as folder:
            built = build_module(model, contract, MODULE, Path(folder), compiler)
            return kept.store(key, built), contract
    except NoNativeFormError as error:
        kept.refuse(key, str(error.got))
        raise


def contract_of(model: bytes, label: str) -> Contract:
    """The contract that ``model`` carries, held against its graph.

    Raises:
        ArtifactError: there is none, or it does not fit.
    """
    found = described(model, label)
    contract = contract_from(found.metadata.get(METADATA_KEY), label)
    check_graph(contract, found.inputs, found.outputs, label)
    return contract


def module_key(model: bytes, compiler: Compiler) -> str:
    """Hash of everything that decides what is built."""
    digest = hashlib.sha256()
    for part in (hashlib.sha256(model).hexdigest(), generator_version(), compiler.identity(), python_abi()):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:32]


@functools.cache
def generator_version() -> str:
    """Hash of the sources that write the C."""
    digest = hashlib.sha256()
    for folder in _GENERATORS:
        for path in sorted((_PACKAGE / folder).rglob("*")):
            if path.suffix in (".py", ".h", ".c"):
                digest.update(f"{path.relative_to(_PACKAGE)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def build_module(model: bytes, contract: Contract, module: str, folder: Path, compiler: Compiler) -> Path:
    """Generate and compile in ``folder``; gives the path of the extension module called ``module``.

    Raises:
        NativeBuildError: the generator or the compiler failed.
        NoNativeFormError: C cannot be generated for the artifact.
    """
    artifact = folder / "artifact.onnx"
    artifact.write_bytes(model)
    _generate(artifact, folder / SOURCE)
    binding = folder / "binding.c"
    try:
        binding.write_text(binding_source(contract, module), encoding="utf-8")
    except KeyError as error:
        raise NoNativeFormError(_NO_FORM, got=f"an array of dtype {error}") from error
    except ValueError as error:
        raise NoNativeFormError(_NO_FORM, got=str(error)) from error
    output = folder / f"{module}.so"
    compiler.build(binding, output)
    return output


def _generate(artifact: Path, source: Path) -> None:
    if not sys.executable:
        raise NativeBuildError("The native runtime needs a Python to generate C with.", got="no sys.executable")
    options = ["-o", str(source), "--name", NAME, "--target", "host", "--constants", "incbin"]
    options += ["--stack", str(STACK_BYTES)]
    try:
        done = subprocess.run(
            python_command(_GENERATE, [str(artifact), *options]),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LIMIT_S,
            stdin=subprocess.DEVNULL,
            env=python_environment(),
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NativeBuildError("The C generator did not run.", got=str(error)) from error
    if done.returncode == 2:  # unusable input: an operator that C cannot be written for, by name
        raise NoNativeFormError(_NO_FORM, got=_said(done.stderr))
    if done.returncode != 0 or not source.is_file():
        raise NativeBuildError(
            "The C generator failed.", got=_said(done.stderr) or f"exit status {done.returncode}", expected="C source"
        )


def _said(text: str) -> str:
    """What the generator said was wrong, on one line, without all that it could have been given."""
    lines = text.removeprefix("error: ").splitlines()
    told = [line for line in lines if not line.lstrip().startswith(("expected:", "what to do:"))]
    return " ".join(" ".join(told).split())[:_WORDS]
