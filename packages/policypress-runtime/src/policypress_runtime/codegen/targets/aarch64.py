"""64-bit Arm under an operating system: Jetson, Raspberry Pi."""

from __future__ import annotations

from policypress_runtime.codegen.packing import SIGNED_QUADS
from policypress_runtime.codegen.targets.target import THREAD_BYTES, Target

TARGETS = (
    Target("aarch64", SIGNED_QUADS, True, 32, THREAD_BYTES, THREAD_BYTES, 64, 16, True, ("aarch64-linux-gnu-gcc",)),
)
