"""What a policy takes on microcontrollers without vector instructions, most of them without a float unit.

Prints a Markdown table. Each target's C is compiled with Debian's cross-compiler at ``-O2`` and run: by
``qemu-system-arm`` and ``qemu-system-riscv32``, which count instructions, and by ``simavr``, which counts cycles. Flash
is text, constants and initialised data of the policy's object; RAM is its data and the most stack that an action takes.
The actions are compared with those of the same C on this machine, with its plain kernels: not one bit may differ.

    python benchmarks/microcontrollers.py examples/agents/sac-HalfCheetah-v4.zip
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from policypress_runtime.codegen.reader import read_program
from policypress_runtime.codegen.render import Source, render
from policypress_runtime.codegen.targets import TARGETS, Target

HERE = Path(__file__).resolve().parent / "microcontrollers"
BARE_METAL = HERE.parents[1] / "examples" / "c" / "bare_metal"
RECIPE = "prune(l2, 0.5) > equalize > int8"
FLAGS = ("-std=gnu99", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror")
OBSERVATIONS = 8
REPEATS = 4
TIMEOUT_S = 300
_PICOLIBC = (
    *("--oslib=semihost", "--crt0=hosted"),
    "-Wl,--defsym=__flash=0x80000000,--defsym=__flash_size=0x200000,--defsym=__ram=0x80200000,--defsym=__ram_size=0x200000",
)
_WORD = re.compile(r"\b([0-9a-f]{8})\b")


@dataclass(frozen=True)
class Board:
    """What stands for a target: emulator, the processor or machine that it is told, and what it counts.

    ``origins`` are where flash and RAM begin, on a Cortex-M.
    """

    emulator: str
    machine: str
    counts: str = "instructions"
    origins: tuple[str, str] = ("0x00000000", "0x20000000")


BOARDS = {
    "cortex-m0": Board("qemu-system-arm", "microbit"),
    # One core of it is an M0+, whose instructions an M0 has as well.
    "rp2040": Board("qemu-system-arm", "microbit"),
    "cortex-m3": Board("qemu-system-arm", "mps2-an385"),
    "cortex-m33": Board("qemu-system-arm", "mps2-an505", origins=("0x10000000", "0x38000000")),
    "riscv32": Board("qemu-system-riscv32", "virt"),
    "esp32c3": Board("qemu-system-riscv32", "virt"),
    "avr": Board("simavr", "atmega2560", counts="cycles"),
}


@dataclass(frozen=True)
class Measured:
    """One policy on one board; ``spent`` is the mean over the observations, ``most`` the largest."""

    spent: float
    most: int
    flash_bytes: int
    ram_bytes: int
    actions: npt.NDArray[np.float32]


def missing_tools(name: str) -> list[str]:
    """Programs that a measurement of the target ``name`` needs and this machine has not."""
    return [tool for tool in (TARGETS[name].compiler[0], BOARDS[name].emulator) if shutil.which(tool) is None]


def measure(source: Source, target: Target, observations: npt.NDArray[np.float32], folder: Path) -> Measured:
    """Compile ``source``, whose names begin with ``policy``, and run it on ``observations``."""
    (folder / "policy.c").write_text(source.c)
    (folder / "policy.h").write_text(source.h)
    numbers = ",".join(
        f"{float(value):.9g}f" if "." in f"{float(value):.9g}" else f"{float(value):.9e}f"
        for value in observations.reshape(-1)
    )
    (folder / "observations.h").write_text(
        f"#define OBSERVATIONS {len(observations)}u\n#define REPEATS {REPEATS}u\n"
        f"static const float observations[{observations.size}] = {{{numbers}}};\n"
    )
    # With a C library, where there is one: the board's own.
    library = {"-ffreestanding": "--specs=picolibc.specs"}
    compiler = [library.get(part, part) for part in target.compiler]
    _built(*compiler, *FLAGS, "-c", "policy.c", "-o", "policy.o", folder=folder)
    size = compiler[0].removesuffix("gcc") + "size"
    text, data, bss = map(int, _built(size, "policy.o", folder=folder).splitlines()[1].split()[:3])
    words = [int(word, 16) for word in _WORD.findall(_printed(target, compiler, folder))]
    stack, *rows = words
    table = np.array(rows, np.uint32).reshape(len(observations), -1)
    actions = np.ascontiguousarray(table[:, 1:]).view(np.float32)
    spent = table[:, 0] / REPEATS
    return Measured(float(spent.mean()), int(spent.max()), text + data, data + bss + stack, actions)


def _built(*command: str, folder: Path) -> str:
    """Output of a command, which must succeed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed:\n{done.stderr[-4000:]}")
    return done.stdout


def _printed(target: Target, compiler: list[str], folder: Path) -> str:
    """What the program that measures prints on the target's board."""
    board = BOARDS[target.name]
    if board.emulator == "simavr":
        _link(compiler, folder, "avr", "-DF_CPU=16000000UL")
        run = ["simavr", "-m", board.machine, "-f", "16000000", "program.elf"]
    elif board.emulator == "qemu-system-riscv32":
        _link(compiler, folder, "riscv", *_PICOLIBC)
        run = [board.emulator, "-M", board.machine, "-bios", "none", "-nographic", "-semihosting"]
        run += ["-icount", "shift=0", "-kernel", "program.elf"]
    else:
        script = (BARE_METAL / "mps2.ld").read_text().replace("ORIGIN = 0,", f"ORIGIN = {board.origins[0]},")
        script = script.replace("0x20000000", board.origins[1]).replace("LENGTH = 4M", "LENGTH = 256K")
        (folder / "board.ld").write_text(script)
        files = (str(BARE_METAL / "startup.c"), "-T", "board.ld", "-nostartfiles", "--specs=nosys.specs")
        _link(compiler, folder, "arm", *files)
        run = [board.emulator, "-M", board.machine, "-nographic"]
        run += ["-semihosting-config", "enable=on,target=native", "-icount", "shift=0,sleep=off"]
        run += ["-kernel", "program.elf"]
    done = subprocess.run(run, cwd=folder, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S)
    # Semihosting prints to stderr. The simulator of the AVR colours lines, and says first what it loads.
    return re.sub(r"\x1b\[[0-9;]*m", " ", done.stdout + done.stderr)


def _link(compiler: list[str], folder: Path, board: str, *more: str) -> None:
    files = ("policy.o", str(HERE / "measure.c"), "-I", ".", "-I", str(HERE / board))
    _built(*compiler, *FLAGS, *files, *more, "-o", "program.elf", folder=folder)


def main() -> None:
    """Print the table of one agent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agent", metavar="AGENT")
    parser.add_argument("--recipe", default=RECIPE, help=f"default: {RECIPE}")
    arguments = parser.parse_args()
    # Not where a test takes the rest of this file: its folder has another module of this name.
    from cortex_m import artifacts, host_actions

    made, observations = artifacts(arguments.agent, (arguments.recipe,), OBSERVATIONS)
    artifact = made[arguments.recipe]
    wanted = host_actions(artifact, observations)
    print("| target | run by | per action | at most | flash | RAM | largest difference from here |")
    print("|---|---|---|---|---|---|---|")
    for name, board in BOARDS.items():
        if missing := missing_tools(name):
            print(f"| {name} | {', '.join(missing)}: not on this machine | | | | | |")
            continue
        with tempfile.TemporaryDirectory() as folder:
            source = render(read_program(artifact.model), TARGETS[name])
            got = measure(source, TARGETS[name], observations, Path(folder))
        apart = float(np.abs(got.actions - wanted).max())
        print(
            f"| {name} | {board.emulator} ({board.machine}) | {got.spent:,.0f} {board.counts} | {got.most:,} "
            f"| {got.flash_bytes / 1000:.1f} kB | {got.ram_bytes} B | {apart:.2g} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
