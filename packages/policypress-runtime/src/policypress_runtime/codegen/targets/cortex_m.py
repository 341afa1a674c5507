"""Arm's microcontrollers. M4, M7 and M33 multiply two pairs of integers at once; M0 and M3 have no float unit."""

from __future__ import annotations

from policypress_runtime.codegen.targets.target import Target, microcontroller

# Processor, and the flags of its floating-point unit where it has one.
_PROCESSORS = {
    "cortex-m0": ("cortex-m0", ()),
    "cortex-m3": ("cortex-m3", ()),
    "cortex-m4": ("cortex-m4", ("-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")),
    "cortex-m7": ("cortex-m7", ("-mfloat-abi=hard", "-mfpu=fpv5-d16")),
    "cortex-m33": ("cortex-m33", ("-mfloat-abi=hard", "-mfpu=fpv5-sp-d16")),
    # Two of Arm's M0+.
    "rp2040": ("cortex-m0plus", ()),
}


def _target(name: str) -> Target:
    processor, unit = _PROCESSORS[name]
    return microcontroller(name, ("arm-none-eabi-gcc", "-mthumb", f"-mcpu={processor}", *unit))


TARGETS = tuple(_target(name) for name in _PROCESSORS)
