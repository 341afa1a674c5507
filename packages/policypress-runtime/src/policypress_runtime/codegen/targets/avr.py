"""8-bit AVR: Arduino Uno, Nano and Mega. ``int`` and pointers have 16 bits, ``double`` is ``float``, RAM is scarce.

Constants stay in flash by the address space ``__flash`` of gcc, which reaches the first 64 KiB.
"""

from __future__ import annotations

from dataclasses import replace

from policypress_runtime.codegen.targets.target import microcontroller

_AVR = microcontroller("avr", ("avr-gcc", "-mmcu=atmega2560", "-std=gnu99"), stack_bytes=1 << 10, alignment_bytes=1)
TARGETS = (replace(_AVR, double_bytes=4, most_array_bytes=32_767, most_constants_bytes=60_000),)
