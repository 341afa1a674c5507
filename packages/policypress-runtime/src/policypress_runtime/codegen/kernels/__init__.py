"""The C fragments that a generated file is made of, in the order in which they stand there.

Kernels differ by instruction set and agree in every bit of their integers. ``platform.h``, ``plain.h`` and
``functions.h`` belong into every file; the others hold the kernels of one instruction set each, guarded so that a
compiler for another machine skips them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class KernelSet:
    """Kernels for one instruction set.

    Attributes:
        name: what ``policy_kernel()`` returns, and the functions' suffix (``pp_qdense_u8_<name>``).
        fragment: the file that holds them.
        attribute: the macro to put before a function that calls them.
        guard: preprocessor condition under which they exist.
        available: C expression that is non-zero where the machine that runs has the instructions.
        few: name of the set that takes a lone observation, and a few, where this one is for many; "" where it takes
            all. Such a set is written for networks with 8-bit weights alone.
        fewer_than: the number of observations that ``few`` is for, as C.
        end: C statement at the end of a function that used them.
        stack_bytes: working memory of the kernels themselves.
    """

    name: str
    fragment: str
    attribute: str
    guard: str
    available: str
    few: str = ""
    fewer_than: str = ""
    end: str = ""
    stack_bytes: int = 0


X86 = "defined(__x86_64__) && defined(__GNUC__)"
# A build for one known processor leaves the kernels out that it would never choose: -DPP_WITHOUT_AVX2 and so on.
PLAIN = KernelSet("plain", "plain.h", "PP_TARGET_PLAIN", "1", "1")
AVX2 = KernelSet("avx2", "avx2.h", "PP_TARGET_AVX2", f"{X86} && !defined(PP_WITHOUT_AVX2)", "pp_has_avx2()")
AVXVNNI = KernelSet(
    "avxvnni", "avxvnni.h", "PP_TARGET_AVXVNNI", f"{X86} && !defined(PP_WITHOUT_AVXVNNI)", "pp_has_avxvnni()"
)
AVX512VNNI = KernelSet(
    "avx512vnni",
    "avx512vnni.h",
    "PP_TARGET_AVX512VNNI",
    f"{X86} && !defined(PP_WITHOUT_AVX512VNNI)",
    "pp_has_avx512vnni()",
)
# What is left to AVX512VNNI is compiled with it.
AMX = KernelSet(
    "amx",
    "amx.h",
    "PP_TARGET_AVX512VNNI",
    "defined(PP_HAVE_AMX) && !defined(PP_WITHOUT_AMX)",
    "pp_has_amx()",
    few="avx512vnni",
    fewer_than="PP_ROWS_AMX",
    end="PP_TILE_RELEASE();",
    stack_bytes=4096,
)
ARM64 = "defined(__aarch64__) && defined(__GNUC__)"
DOTPROD = KernelSet("dotprod", "neon.h", "PP_TARGET_DOTPROD", "defined(PP_HAVE_DOTPROD)", "pp_has_dotprod()")
NEON = KernelSet("neon", "neon.h", "PP_TARGET_NEON", ARM64, "1")
DSP = KernelSet("dsp", "dsp.h", "PP_TARGET_DSP", "defined(__ARM_FEATURE_DSP) && defined(__GNUC__)", "1")
SETS = {
    "host": (AMX, AVX512VNNI, AVXVNNI, AVX2, PLAIN),
    "aarch64": (DOTPROD, NEON, PLAIN),
    "cortex-m4": (DSP, PLAIN),
    "cortex-m7": (DSP, PLAIN),
    "cortex-m33": (DSP, PLAIN),
    "freestanding": (PLAIN,),
}
"""The kernels of targets that have others than the plain ones, the fastest first."""
FIRST_FRAGMENTS = ("platform.h", "functions.h", "plain.h")
"""What every generated file starts with."""


def sets_of(target: str) -> tuple[KernelSet, ...]:
    """The kernel sets for a target, the best first."""
    return SETS.get(target, (PLAIN,))


def fragments(target: str) -> tuple[str, ...]:
    """The files for one target, in the order in which they must stand."""
    own = dict.fromkeys(one.fragment for one in reversed(sets_of(target)) if one is not PLAIN)
    return (*FIRST_FRAGMENTS, *own)


def fragment(name: str) -> str:
    """The text of one fragment (a file name in this folder)."""
    return (files(__name__) / name).read_text(encoding="utf-8")
