"""Many command lines in one interpreter: starting Python and loading its libraries takes longer than most commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import command_line

_SCRIPT = Path(__file__).with_name("line_after_line.py")


@dataclass(frozen=True)
class Done:
    """How one command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> str:
        """What it said, on one line."""
        return " ".join((self.out + " " + self.err).split())


def run_lines(
    lines: Sequence[Sequence[str | Path]], cwd: Path, variables: Mapping[str, str] | None = None
) -> list[Done]:
    """Run ``policypress`` with each of ``lines`` in ``cwd``, one after the other; with ``variables`` from nothing."""
    words = json.dumps([[str(word) for word in line] for line in lines])
    child: subprocess.CompletedProcess[str]
    if variables is None:
        child = command_line.run(words, cwd=cwd, script=_SCRIPT)
    else:
        command, changed = [sys.executable, str(_SCRIPT), words], {**os.environ, "COLUMNS": "200", **variables}
        child = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=600, env=changed)
    done = [Done(*json.loads(line)) for line in child.stdout.splitlines()]
    assert len(done) == len(lines), child.stderr
    return done
