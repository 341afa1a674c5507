"""What the C is written for: layout of the weights, kernels, and what may be taken for granted."""

from __future__ import annotations

from dataclasses import dataclass

from policypress_runtime.codegen.packing import LAYOUTS, Layout
from policypress_runtime.errors import InputError


@dataclass(frozen=True)
class Target:
    """One target of ``policypress export``.

    Args:
        name: as on the command line.
        layout: how weights are packed.
        dispatches: whether one file holds kernels for several machines and chooses when it is loaded.
        tile: most observations that the batch form computes at once.
        tile_bytes: most scratch memory that the batch form may take.
        stack_bytes: most scratch memory that a call takes from the stack; what needs more gets it from the caller.
        alignment_bytes: of arrays in scratch memory.
        lanes: floats of the widest vector; loops of dear functions compute whole vectors.
        hosted: whether there is a C library; without it not even memcpy is called.
        compiler: the cross-compiler whose code size the report shows, with its flags; the first that is found.
    """

    name: str
    layout: Layout
    dispatches: bool
    tile: int
    tile_bytes: int
    stack_bytes: int
    alignment_bytes: int
    lanes: int
    hosted: bool
    compiler: tuple[str, ...] = ()


# A thread of musl has 128 KiB, the least of what hosted systems give unless they are asked; a quarter is the caller's.
_THREAD_BYTES = 96 << 10
# Where a stack is sized by hand, networks of a few hundred units stay on it; images, with their dozens of KiB, do not.
_SMALL_BYTES = 8 << 10
_CORTEX_M = ("arm-none-eabi-gcc", "-mthumb", "-mfloat-abi=hard")
TARGETS = {
    "host": Target("host", LAYOUTS["host"], True, 32, _THREAD_BYTES, _THREAD_BYTES, 64, 16, True, ("cc",)),
    "aarch64": Target(
        "aarch64", LAYOUTS["aarch64"], True, 32, _THREAD_BYTES, _THREAD_BYTES, 64, 16, True, ("aarch64-linux-gnu-gcc",)
    ),
    "cortex-m4": Target(
        "cortex-m4",
        LAYOUTS["cortex-m4"],
        False,
        1,
        0,
        _SMALL_BYTES,
        4,
        1,
        True,
        (*_CORTEX_M, "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16"),
    ),
    "cortex-m7": Target(
        "cortex-m7",
        LAYOUTS["cortex-m7"],
        False,
        1,
        0,
        _SMALL_BYTES,
        4,
        1,
        True,
        (*_CORTEX_M, "-mcpu=cortex-m7", "-mfpu=fpv5-d16"),
    ),
    "freestanding": Target(
        "freestanding", LAYOUTS["freestanding"], False, 1, 0, _SMALL_BYTES, 4, 1, False, ("cc", "-ffreestanding")
    ),
}


def target_of(name: str) -> Target:
    """The target called ``name``.

    Raises:
        InputError: there is none.
    """
    if name not in TARGETS:
        raise InputError("There is no such target.", got=name, expected=", ".join(TARGETS))
    return TARGETS[name]
