"""Which kernels this processor would choose, so that no others have to be compiled for it."""

from __future__ import annotations

# Kernel set → what it needs, the best first; names as Linux writes them.
_AVX512VNNI = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"})
_NEEDS = {
    "AMX": _AVX512VNNI | {"amx_tile", "amx_int8"},
    "AVX512VNNI": _AVX512VNNI,
    "AVXVNNI": frozenset({"avx2", "fma", "avx_vnni"}),
    "AVX2": frozenset({"avx2", "fma"}),
}


def left_out(features: frozenset[str]) -> tuple[str, ...]:
    """Compiler flags that leave out the x86 kernels which a processor with ``features`` would not choose.

    Nothing is left out where the features are not known. A module that was built so acts on any processor: one without
    the chosen kernels takes the plain ones.
    """
    best = next((name for name, needs in _NEEDS.items() if needs <= features), None)
    if best is None:
        return ()
    # AMX is for many rows, and the system may refuse it.
    kept = {best, "AVX512VNNI"} if best == "AMX" else {best}
    return tuple(f"-DPP_WITHOUT_{name}" for name in _NEEDS if name not in kept)
