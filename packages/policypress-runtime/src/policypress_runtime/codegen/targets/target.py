"""What a target of C is: layout of the weights, and what may be taken for granted."""

from __future__ import annotations

from dataclasses import dataclass

from policypress_runtime.codegen.packing import NARROW, Layout


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
        compiler: the cross-compiler whose code size the report shows, with its flags.
        double_bytes: of C's ``double``.
        most_array_bytes: largest array of constants that the target can address; None where memory alone limits it.
        most_constants_bytes: the same of all constants together.
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
    double_bytes: int = 8
    most_array_bytes: int | None = None
    most_constants_bytes: int | None = None


# A thread of musl has 128 KiB, the least of what hosted systems give unless they are asked; a quarter is the caller's.
THREAD_BYTES = 96 << 10
# Where a stack is sized by hand, networks of a few hundred units stay on it; images, with their dozens of KiB, do not.
SMALL_BYTES = 8 << 10


def microcontroller(
    name: str,
    compiler: tuple[str, ...],
    *,
    layout: Layout = NARROW,
    stack_bytes: int = SMALL_BYTES,
    alignment_bytes: int = 4,
    hosted: bool = True,
) -> Target:
    """A target that acts on one observation at a time, with one set of kernels and a small stack."""
    return Target(name, layout, False, 1, 0, stack_bytes, alignment_bytes, 1, hosted, compiler)
