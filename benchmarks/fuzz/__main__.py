"""Fuzz readers and writers: ``python -m benchmarks.fuzz [--seconds 300] [--seed 0] [TARGET ...]`` from the root.

Every input must be read, or refused with an error of ours that exits with 2, within 30 seconds of processor time.
Every text must be written so that the programs that are to read it find that text, and nothing else: no other token of
C, tag, control sequence, formula, escape or name of a file. What does otherwise is written to ``--findings`` and ends
the run with 1. Mutations are drawn from a seed, so that a finding comes again.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path

from benchmarks.fuzz.mutation import mutated
from benchmarks.fuzz.targets import TARGETS, Target

from policypress_runtime.errors import PolicypressError

SEEDS = Path(__file__).parent / "seeds"
BUDGET_S = 30.0
MEMORY_BYTES = 6 * 1024**3
GROWTH_KB = 1536 * 1024


def attempt(target: Target, content: bytes) -> str | None:
    """None where the target does what it should, else what it did."""
    start = time.process_time()
    try:
        target(content)
    except PolicypressError as error:
        # A store that is damaged is the one reader's error that is no mistake of the user.
        if error.exit_code != 2 and type(error).__name__ != "StoreError":
            return f"{type(error).__name__} exits with {error.exit_code}"
        str(error)
    except Exception:
        return traceback.format_exc(limit=-4)
    spent = time.process_time() - start
    return f"{spent:.0f} seconds of processor time" if spent > BUDGET_S else None


def fuzz(name: str, seconds: float, seed: int, findings: Path) -> tuple[int, int]:
    """Inputs tried and findings, within ``seconds`` of processor time."""
    rng = random.Random(f"{name}/{seed}")
    seeds = [path.read_bytes() for path in sorted((SEEDS / name).iterdir())]
    known: set[str] = set()
    tried = 0
    end = time.process_time() + seconds
    while tried < len(seeds) or time.process_time() < end:
        content = seeds[tried] if tried < len(seeds) else mutated(rng.choice(seeds), rng)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        wrong = attempt(TARGETS[name], content)
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before > GROWTH_KB:
            wrong = "more than 1.5 GiB of memory"
        tried += 1
        # One finding per place in the code.
        if wrong is not None and (place := wrong.rsplit("\n", 2)[0]) not in known:
            known.add(place)
            findings.mkdir(parents=True, exist_ok=True)
            path = findings / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"
            path.write_bytes(content)
            print(f"{name}: {path}\n{wrong}", flush=True)
    return tried, len(known)


def main() -> int:
    """Fuzz every target that is named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], metavar="TARGET")
    parser.add_argument("--seconds", type=float, default=300.0, help="processor time for each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    found, most = 0, resource.getrlimit(resource.RLIMIT_AS)[1]
    for name in given.targets or TARGETS:
        # What draws charts reserves address space without end, and uses little of it.
        resource.setrlimit(resource.RLIMIT_AS, (most if name == "charts" else MEMORY_BYTES, most))
        tried, wrong = fuzz(name, given.seconds, given.seed, given.findings)
        print(f"{name}: {tried} inputs, {wrong} findings", flush=True)
        found += wrong
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
