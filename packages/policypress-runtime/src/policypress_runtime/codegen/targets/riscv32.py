"""A 32-bit RISC-V microcontroller without a float unit."""

from __future__ import annotations

from policypress_runtime.codegen.targets.target import microcontroller

TARGETS = (microcontroller("riscv32", ("riscv64-unknown-elf-gcc", "-march=rv32imac", "-mabi=ilp32", "-ffreestanding")),)
