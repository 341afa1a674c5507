"""What the command line takes before it does anything: help, completion, and the answer to what is mistyped.

A Markdown table: CPU-seconds (user and system) and peak memory of each command line, and how often they are those of
``python -c pass`` and of ``python -c 'import typer, rich'``, which take turns with it; medians of the rounds. CPU
seconds and not wall time, because they depend less on what else runs; they still grow on a busy machine. Fails where
a target is missed.

    python benchmarks/start_up.py
    python benchmarks/start_up.py --rounds 11
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

MAIN = "from policypress.cli.app import main; main()"
BARE, DRAWING = "python -c pass", "python -c 'import typer, rich'"


@dataclass(frozen=True)
class Start:
    """A command line and what it may take."""

    name: str
    command: list[str]
    most_s: float | None = None
    most_mb: float | None = None
    code: int = 0
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Taken:
    """What a process took: CPU-seconds, and the most memory that it held."""

    cpu_s: float
    memory_mb: float


def command_line(*arguments: str, most_s: float, most_mb: float | None = None, code: int = 0) -> Start:
    """``policypress`` with ``arguments``."""
    program = f"import sys; sys.argv = ['policypress', *{arguments!r}]; {MAIN}"
    return Start(f"policypress {' '.join(arguments)}", [sys.executable, "-P", "-c", program], most_s, most_mb, code)


def completion(words: str) -> Start:
    """What a shell runs to complete the last of ``words``."""
    count = str(len(words.split(" ")) - 1)
    typed = {"COMP_WORDS": words, "COMP_CWORD": count, "_POLICYPRESS_COMPLETE": "complete_bash"}
    program = f"import sys; sys.argv = ['policypress']; {MAIN}"
    return Start(f"{words}⟨Tab⟩", [sys.executable, "-P", "-c", program], 0.4, None, 0, typed)


STARTS = (
    Start(BARE, [sys.executable, "-P", "-c", "pass"]),
    Start(DRAWING, [sys.executable, "-P", "-c", "import typer, rich"]),
    command_line("--help", most_s=0.35, most_mb=60.0),
    command_line("--version", most_s=0.35, most_mb=60.0),
    command_line("compress", "--help", most_s=1.0),
    completion("policypress com"),
    completion("policypress compress --mini"),
    completion("policypress compress agent.zip --minimize "),
    completion("policypress compress agent.zip --recipe eq"),
    completion("policypress evaluate agent.zip --runtime "),
    completion("policypress train "),
    completion("policypress study run study.yml --executor "),
    completion("policypress study export study.yml --to "),
    command_line("inspect", "no-agent.zip", most_s=1.0, code=2),
    command_line("compress", "no-agent.zip", "-o", "out", most_s=1.0, code=2),
    command_line("evaluate", "no-artifact.onnx", most_s=1.0, code=2),
    command_line("study", "run", "no-study.yml", most_s=1.0, code=2),
    command_line("train", "saac", "Hopper-v4", "-o", "agent.zip", most_s=1.0, code=2),
    command_line("stud", most_s=1.0, code=2),
)


def taken(start: Start, folder: str) -> Taken:
    """Run it once."""
    null = subprocess.DEVNULL
    variables = {**os.environ, **start.variables}
    process = subprocess.Popen(start.command, stdout=null, stderr=null, cwd=folder, env=variables)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != start.code:
        sys.exit(f"{start.name}: exit code {process.returncode} in place of {start.code}")
    # Linux counts in KiB, macOS in bytes.
    unit = 1e6 if sys.platform == "darwin" else 1e6 / 1024
    return Taken(used.ru_utime + used.ru_stime, used.ru_maxrss / unit)


def main() -> None:
    """Print the table; exit with 1 where something takes more than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    found: dict[str, list[Taken]] = {start.name: [] for start in STARTS}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds + 1):
            for start in STARTS:
                measured = taken(start, folder)
                if turn:  # the first fills the system's cache of files
                    found[start.name].append(measured)
    cpu_s = {name: median(one.cpu_s for one in each) for name, each in found.items()}
    memory_mb = {name: median(one.memory_mb for one in each) for name, each in found.items()}
    print("| command line | CPU-s | × bare Python | × typer, rich | peak MB | target |")
    print("| --- | ---: | ---: | ---: | ---: | --- |")
    missed = []
    for start in STARTS:
        spent, held = cpu_s[start.name], memory_mb[start.name]
        wanted = [f"{start.most_s} s"] * (start.most_s is not None) + [f"{start.most_mb} MB"] * (
            start.most_mb is not None
        )
        ratios = f"{spent / max(cpu_s[BARE], 0.001):.1f} | {spent / max(cpu_s[DRAWING], 0.001):.1f}"
        print(f"| `{start.name}` | {spent:.2f} | {ratios} | {held:.0f} | {', '.join(wanted)} |")
        if (start.most_s or spent) < spent or (start.most_mb or held) < held:
            missed.append(start.name)
    if missed:
        sys.exit(f"above the target: {', '.join(missed)}")


if __name__ == "__main__":
    main()
