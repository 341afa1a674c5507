"""Espressif's microcontrollers: Xtensa LX106 (ESP8266) and LX6 (ESP32), and the RISC-V ESP32-C3."""

from __future__ import annotations

from policypress_runtime.codegen.targets.target import microcontroller

_C3 = ("riscv64-unknown-elf-gcc", "-march=rv32imc", "-mabi=ilp32", "-ffreestanding")
TARGETS = (
    # ESP-IDF brings its compiler; its stack of the main task has 3.5 KiB unless it is made larger.
    microcontroller("esp32", ("xtensa-esp32-elf-gcc", "-mlongcalls"), stack_bytes=3 << 10),
    microcontroller("esp32c3", _C3, stack_bytes=3 << 10),
    # The sketch's stack has 4 KiB.
    microcontroller("esp8266", ("xtensa-lx106-elf-gcc", "-mlongcalls", "-ffreestanding"), stack_bytes=2 << 10),
)
