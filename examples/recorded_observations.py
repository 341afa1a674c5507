"""Compress a policy with nothing but logged observations: no environment at all.

    python recorded_observations.py

The same on the command line:

    policypress compress agents/sac-HalfCheetah-v4.zip --observations logged.npz --recipe "equalize > int8" -o out

The action error is then all that is known, and the return is not certified.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from policypress import compress, load_agent
from policypress.engine.store.reader import StoreReader
from policypress.report.recipe_results import read_rows

AGENT = Path(__file__).parent / "agents" / "sac-HalfCheetah-v4.zip"


def log_observations(path: Path) -> None:
    """Stand-in for your robot's log: one row per observation, under the name ``observations``."""
    size = load_agent(AGENT).observation_space.size
    rng = np.random.default_rng(0)
    scale = np.geomspace(0.2, 10.0, size)
    np.savez(path, observations=rng.normal(0.0, scale, (2000, size)).astype(np.float32))


def main(output: Path) -> None:
    """Log, compress, and print the action error of each recipe."""
    output.mkdir(parents=True, exist_ok=True)
    logged = output / "logged.npz"
    log_observations(logged)
    done = compress(AGENT, ["ptsq", "equalize > int8"], output=output, observations=logged)
    with StoreReader(done.store) as store:
        for row in read_rows(store, done.cells):
            if row.artifact is not None and row.artifact.action_error is not None:
                print(f"{row.name:20} action error {100 * row.artifact.action_error:.2f} % of the range")
    print("return not certified: no episodes were played")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/recorded_observations"))
