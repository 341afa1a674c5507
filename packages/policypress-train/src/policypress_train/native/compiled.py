"""Compiles the C of the native update for this processor, and loads it."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import platform
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from policypress_runtime.errors import NativeBuildError, NativeUpdateError
from policypress_runtime.toolchain.cache import Cache
from policypress_runtime.toolchain.compiler import Compiler, find_compiler
from policypress_runtime.toolchain.processor import features_here
from policypress_train.native.layout import FUNCTIONS

SOURCE = Path(__file__).resolve().parent / "c" / "update.c"
# Fused multiply-add is allowed; errno and floating-point exceptions are not used.
_OPTIONS = ("-std=c11", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math")
_AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma")
_AVX512_FEATURES = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx2", "fma"})
_log = logging.getLogger(__name__)
HINT = "Use --update fast."


@dataclass(frozen=True)
class KernelSet:
    """A build of the kernels: the CPU features it needs (Linux's names), and its compiler flags."""

    name: str
    needs: frozenset[str]
    flags: tuple[str, ...]


SETS = (
    KernelSet(
        "amx",
        _AVX512_FEATURES | {"avx512_bf16", "amx_tile", "amx_bf16"},
        (*_AVX512, "-mavx512bf16", "-DPP_AMX"),
    ),
    KernelSet("avx512", _AVX512_FEATURES, _AVX512),
    KernelSet("avx2", frozenset({"avx2", "fma"}), ("-mavx2", "-mfma")),
    KernelSet("plain", frozenset(), ()),
)
"""The best first."""


def sets_here() -> tuple[KernelSet, ...]:
    """The kernel sets that this processor has, the best first."""
    return tuple(kernels for kernels in SETS if kernels.needs <= features_here())


@functools.cache
def library(pinned: str | None = None) -> tuple[ctypes.CDLL, str]:
    """The library with the best kernels that this machine can build and run, and their name.

    Args:
        pinned: name of the only kernels that will do, or None.

    Raises:
        NativeUpdateError: there is no compiler, or none that builds it, or this machine has not the kernels.
    """
    sets = tuple(kernels for kernels in sets_here() if pinned in (None, kernels.name))
    if not sets:
        raise _lacking(str(pinned))
    try:
        compiler = find_compiler(headers=False)
    except NativeBuildError as error:
        raise _unbuildable(error) from error
    refused: NativeBuildError | None = None
    for kernels in sets:
        try:
            loaded = load(built(compiler, kernels))
        except NativeBuildError as error:  # an old compiler does not know every instruction
            refused = error
            continue
        if loaded.pp_supported():
            return loaded, kernels.name
    if refused is None and pinned is not None:
        raise _lacking(pinned)
    raise _unbuildable(refused or NativeBuildError("No kernels run on this machine."))


def built(compiler: Compiler, kernels: KernelSet, cache: Cache | None = None) -> Path:
    """The shared library, from the cache or built now.

    Raises:
        NativeBuildError: the compiler refuses it, or the cache cannot be written.
    """
    compiler = replace(compiler, options=(*compiler.options, *_OPTIONS, *kernels.flags))
    kept, key = Cache() if cache is None else cache, _key(compiler)
    found = kept.find(key)
    if found is not None:
        return found
    with tempfile.TemporaryDirectory(prefix="policypress-") as folder:
        output = Path(folder) / "update.so"
        compiler.build(SOURCE, output)
        path = kept.store(key, output)
    if kept.notice is not None:
        _log.warning("%s", kept.notice)
    return path


def load(path: Path) -> ctypes.CDLL:
    """Load the library at ``path`` and declare its functions.

    Raises:
        NativeBuildError: the system does not load it.
    """
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError as error:
        raise NativeBuildError("A compiled library cannot be loaded.", got=str(error)) from error
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


def _key(compiler: Compiler) -> str:
    """Hash of everything the build depends on."""
    digest = hashlib.sha256("|".join([compiler.identity(), platform.machine(), sys.platform]).encode())
    for path in sorted(SOURCE.parent.glob("*.[ch]")):
        digest.update(f"\0{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:32]


def _lacking(pinned: str) -> NativeUpdateError:
    """Pinned kernels are never replaced: others round otherwise, and give another agent."""
    here = ", ".join(kernels.name for kernels in sets_here())
    return NativeUpdateError(
        "This machine does not have the kernels that the training is pinned to.",
        got=f"kernels {pinned}",
        expected=here,
        hint="Pin kernels of this machine, or train on another machine.",
    )


def _unbuildable(error: NativeBuildError) -> NativeUpdateError:
    return NativeUpdateError(
        "The native update cannot be built here.",
        got=" ".join(f"{error.message} {error.got or ''}".split()),
        expected="a C compiler (Debian: apt install gcc)",
        hint=HINT,
    )
