"""Bare-metal programs for Cortex-M, run by ``qemu-system-arm`` with output through semihosting."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

BOARDS = {"cortex-m4": ("mps2-an386", "fpv4-sp-d16"), "cortex-m7": ("mps2-an500", "fpv5-sp-d16")}
"""Emulated board and floating-point unit of each processor."""
# Vectors, then the floating-point unit, which is off after reset, then newlib's own start.
START = """
extern void _start(void);
static void start_here(void)
{
    *(volatile unsigned *)0xE000ED88u |= 0xFu << 20;
    __asm__ volatile("dsb\\n\\tisb");
    _start();
}
__attribute__((used, section(".vectors"))) static void (*const vectors[2])(void) = {
    (void (*)(void))0x20010000u, start_here};
"""
LAYOUT = """
ENTRY(_start)
MEMORY { flash (rx) : ORIGIN = 0, LENGTH = 4M  ram (rwx) : ORIGIN = 0x20000000, LENGTH = 4M }
SECTIONS {
  .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) *(.init) *(.fini) } > flash
  .ARM.exidx : { *(.ARM.exidx*) } > flash
  .data : { *(.data*) } > ram
  .bss : { __bss_start__ = .; *(.bss*) *(COMMON) __bss_end__ = .; end = .; __end__ = .; } > ram
}
"""


def need_tools() -> None:
    """Skip the test where the compiler or the emulator is missing."""
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
        if shutil.which(tool) is None:
            pytest.skip(
                f"{tool} is not installed (Debian: gcc-arm-none-eabi, libnewlib-arm-none-eabi, qemu-system-arm)"
            )


def run_on(processor: str, folder: Path, source: str, *flags: str) -> str:
    """What a C program prints on the emulated processor, instructions being counted as time."""
    need_tools()
    board, unit = BOARDS[processor]
    file, script, program = folder / "program.c", folder / "board.ld", folder / "program.elf"
    file.write_text(source + START)
    script.write_text(LAYOUT)
    command = ["arm-none-eabi-gcc", f"-mcpu={processor}", "-mthumb", "-mfloat-abi=hard", f"-mfpu={unit}"]
    command += ["--specs=rdimon.specs", "-T", str(script), "-O2", "-std=c99", *flags, str(file), "-o", str(program)]
    subprocess.run(command, check=True)
    emulator = ["qemu-system-arm", "-M", board, "-nographic", "-semihosting-config", "enable=on,target=native"]
    emulator += ["-icount", "shift=0", "-kernel", str(program)]
    done = subprocess.run(emulator, capture_output=True, text=True, timeout=300, check=False)
    return done.stdout + done.stderr
