"""A study's driver as a process of its own, to be killed: FOLDER JOBS PAUSE_S (0 jobs: the debug executor)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from synthetic_study import SyntheticWorker, grid

from policypress.engine.executors.debug_executor import DebugExecutor
from policypress.engine.executors.local_executor import LocalExecutor
from policypress.engine.plan import Plan
from policypress.engine.scheduler import run_cells
from policypress.engine.store.store import Store


def main() -> None:
    folder, jobs, pause_s = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    with Store(folder / "study.db") as store, LocalExecutor(jobs) if jobs else DebugExecutor() as executor:
        worker = SyntheticWorker(pause_s, folder / "tasks.log")
        outcome = run_cells(Plan(tuple(grid())), worker, store, executor)
    print("interrupted" if outcome.interrupted else "complete", len(outcome.done), len(outcome.left))


if __name__ == "__main__":
    main()
