"""What a continuous-control policy takes on a Cortex-M4 and M7: instructions per action, flash and RAM, measured.

Prints a Markdown table. Each recipe's C is compiled with ``arm-none-eabi-gcc -O2`` and run by ``qemu-system-arm``,
which counts instructions exactly (``-icount``) and cycles not at all. Flash is text, constants and initialised data
of the policy's object, which refers to nothing outside it; RAM is its data, the state of a memory and the most stack
that an action takes. The actions are compared with those of the same artifact's C on this machine: of integers not
one bit may differ, floats are added up in another order.

    python benchmarks/cortex_m.py examples/agents/sac-HalfCheetah-v4.zip
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from policypress.compression.pipeline import build_artifact
from policypress.compression.recipe import Recipe
from policypress.engine.tasks.calibration import Calibration
from policypress.export.compiled_c import compiled
from policypress.export.publish import ProvenArtifact
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress_runtime.codegen.reader import read_program
from policypress_runtime.codegen.render import Source, render
from policypress_runtime.codegen.targets import TARGETS, Target
from policypress_runtime.runtimes.memory import initial_states, together
from policypress_runtime.toolchain.compiler import compiler_command

HERE = Path(__file__).resolve().parent
BARE_METAL = HERE.parent / "examples" / "c" / "bare_metal"
BOARDS = {"cortex-m4": "mps2-an386", "cortex-m7": "mps2-an500"}
TOOLS = ("arm-none-eabi-gcc", "arm-none-eabi-size", "arm-none-eabi-nm", "qemu-system-arm")
FLAGS = ("-std=c99", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror")
RECIPES = ("none", "equalize > int8", "equalize > gptq(4, storage=int4)", "prune(l2, 0.5) > equalize > int8")
KNOWN_INSTRUCTIONS = 2_000_000
REPEATS = 16
TIMEOUT_S = 300


@dataclass(frozen=True)
class Measured:
    """One policy on one processor.

    ``instructions`` is the mean over the observations, ``most_instructions`` the largest; ``outside`` are the names
    that the object refers to and does not hold; ``actions`` is ``(observations, size)``.
    """

    kernel: str
    instructions: float
    most_instructions: float
    flash_bytes: int
    ram_bytes: int
    outside: tuple[str, ...]
    actions: npt.NDArray[np.float32]


def missing_tools() -> list[str]:
    """Programs that a measurement needs and this machine has not."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def called(*command: str | Path, folder: Path) -> str:
    """Output of a command, which must succeed."""
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed:\n{done.stderr[-4000:]}")
    # Semihosting prints to stderr.
    return done.stdout + done.stderr


def link(folder: Path, target: Target, *sources: str | Path, include: Path) -> Path:
    """A program for an MPS2 board from ``sources`` and the start-up code of the bare-metal example."""
    files = [*sources, BARE_METAL / "startup.c", "-I", ".", "-I", include, "-T", BARE_METAL / "mps2.ld"]
    called(*target.compiler, *FLAGS, "-nostartfiles", "--specs=nosys.specs", *files, "-o", "program.elf", folder=folder)
    return folder / "program.elf"


def emulated(program: Path, target: Target) -> str:
    """What a program prints; each instruction takes one unit of time, and waiting takes none of ours."""
    how = ["-M", BOARDS[target.name], "-nographic", "-semihosting-config", "enable=on,target=native"]
    return called("qemu-system-arm", *how, "-icount", "shift=0,sleep=off", "-kernel", program, folder=program.parent)


def measure(source: Source, target: Target, observations: npt.NDArray[np.float32], folder: Path) -> Measured:
    """Compile ``source``, whose names begin with ``policy``, and run it on ``observations``."""
    (folder / "policy.c").write_text(source.c)
    (folder / "policy.h").write_text(source.h)
    numbers = ",".join(float(value).hex() + "f" for value in observations.reshape(-1))
    constants = {"OBSERVATIONS": len(observations), "REPEATS": REPEATS, "KNOWN_INSTRUCTIONS": KNOWN_INSTRUCTIONS}
    defines = "".join(f"#define {name} {value}u\n" for name, value in constants.items())
    (folder / "observations.h").write_text(
        f"{defines}static const float observations[{observations.size}] = {{{numbers}}};\n"
    )
    called(*target.compiler, *FLAGS, "-c", "policy.c", "-o", "policy.o", folder=folder)
    text, data, bss = map(int, called("arm-none-eabi-size", "policy.o", folder=folder).splitlines()[1].split()[:3])
    outside = called("arm-none-eabi-nm", "--undefined-only", "-j", "policy.o", folder=folder).split()
    program = link(folder, target, "policy.o", HERE / "cortex_m" / "measure.c", include=HERE / "cortex_m")
    kernel, *words = emulated(program, target).split()
    stack, known, *rows = [int(word, 16) for word in words]
    table = np.array(rows, np.uint32).reshape(len(observations), -1)
    instructions = table[:, 0] * (KNOWN_INSTRUCTIONS / known) / REPEATS
    actions = np.ascontiguousarray(table[:, 1:]).view(np.float32)
    flash, ram = text + data, data + bss + stack + state_bytes(source)
    return Measured(kernel, float(instructions.mean()), float(instructions.max()), flash, ram, tuple(outside), actions)


def state_bytes(source: Source) -> int:
    """Bytes of the state that the caller keeps; 0 without memory."""
    found = re.search(r"#define POLICY_STATE_BYTES ([0-9]+)", source.h)
    return 0 if found is None else int(found[1])


def host_actions(artifact: ProvenArtifact, observations: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Actions of the artifact's C with this machine's best kernels."""
    compiler = compiler_command()
    if compiler is None:
        raise SystemExit("There is no C compiler on this machine.")
    program = read_program(artifact.model)
    with compiled(render(program, TARGETS["host"]), program, artifact.contract, compiler, "policy") as runtime:
        kept = artifact.contract.state
        if not kept:
            return np.asarray(runtime.run_batch(observations)["action"], np.float32)
        # As there: each observation again and again, from the start of an episode.
        states = initial_states(kept, len(observations))
        for _ in range(REPEATS):
            outputs = runtime.run_batch(together(observations, states))
            states = {spec.name: outputs[spec.next_name] for spec in kept}
        return np.asarray(outputs["action"], np.float32)


def artifacts(agent: str | Path, recipes: tuple[str, ...], count: int = 32) -> tuple[dict[str, ProvenArtifact], Any]:
    """Each recipe's artifact, and visited and extreme observations ``(count, size)`` that it was proven on."""
    subject = agent_in_environment(agent)
    worker = Calibration(subject, 0)
    made = {text: build_artifact(subject.policy, Recipe.parse(text), worker.materials, 0).artifact for text in recipes}
    every = np.asarray(worker.materials.parity, np.float32)
    return made, np.ascontiguousarray(every[np.linspace(0, len(every) - 1, count).astype(int)])


def main() -> None:
    """Print the table of one agent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agent", metavar="AGENT")
    parser.add_argument("--recipe", action="append", help="instead of the usual ones; may be repeated")
    arguments = parser.parse_args()
    if missing := missing_tools():
        raise SystemExit(f"{', '.join(missing)}: not on this machine")
    torch.set_num_threads(1)
    made, observations = artifacts(arguments.agent, tuple(arguments.recipe or RECIPES))
    print("| recipe | processor | instructions per action | at most | flash | RAM | largest difference from here |")
    print("|---|---|---|---|---|---|---|")
    for recipe, artifact in made.items():
        wanted = host_actions(artifact, observations)
        for target in (TARGETS[name] for name in BOARDS):
            with tempfile.TemporaryDirectory() as folder:
                got = measure(render(read_program(artifact.model), target), target, observations, Path(folder))
            apart = float(np.abs(got.actions - wanted).max())
            print(
                f"| `{recipe}` | {target.name} ({got.kernel}) | {got.instructions:,.0f} | {got.most_instructions:,.0f} "
                f"| {got.flash_bytes / 1000:.1f} kB | {got.ram_bytes} B | {apart:.2g} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
