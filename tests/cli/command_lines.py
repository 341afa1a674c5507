"""Many command lines in one interpreter: starting Python and loading its libraries takes longer than most commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_CHILD = """
import contextlib, io, json, sys
from policypress.cli.app import main
for words in json.loads(sys.stdin.read()):
    sys.argv = ["policypress", *words]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
            code = 0
        except SystemExit as stopped:
            code = stopped.code or 0
    print(json.dumps([code, out.getvalue(), err.getvalue()]), file=sys.__stdout__, flush=True)
"""


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
    """Run ``policypress`` with each of ``lines`` in ``cwd``, one after the other."""
    child = subprocess.run(
        [sys.executable, "-c", _CHILD],
        input=json.dumps([[str(word) for word in words] for words in lines]),
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=600,
        env={**os.environ, "COLUMNS": "200", **(variables or {})},
    )
    done = [Done(*json.loads(line)) for line in child.stdout.splitlines()]
    assert len(done) == len(lines), child.stderr
    return done
