"""The machine that writes the C, and any like it: x86 kernels of every instruction set, chosen at load time."""

from __future__ import annotations

from policypress_runtime.codegen.packing import QUADS
from policypress_runtime.codegen.targets.target import THREAD_BYTES, Target

TARGETS = (Target("host", QUADS, True, 32, THREAD_BYTES, THREAD_BYTES, 64, 16, True, ("cc",)),)
