"""Every fuzz target for a moment: its seeds, and some neighbours of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGETS = sorted(path.name for path in (ROOT / "benchmarks" / "fuzz" / "seeds").iterdir())


def test_every_target_for_a_moment(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.fuzz", "--seconds", "0.1", "--findings", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert run.returncode == 0, run.stdout + run.stderr
    assert sorted(line.split(":")[0] for line in run.stdout.splitlines() if "0 findings" in line) == TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_its_seeds(target: str) -> None:
    sizes = [path.stat().st_size for path in (ROOT / "benchmarks" / "fuzz" / "seeds" / target).iterdir()]
    assert sizes
    assert max(sizes) < 300_000
