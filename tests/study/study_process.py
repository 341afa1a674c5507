"""A whole study's driver as a process of its own, to be killed: SPEC FOLDER JOBS."""

from __future__ import annotations

import sys
from pathlib import Path

from policypress.engine.executors.local_executor import LocalExecutor
from policypress.study.whole_study import open_study, run_whole_study


def main() -> None:
    spec, folder, jobs = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    study = open_study(spec, folder)
    outcome = run_whole_study(study, LocalExecutor(jobs))
    print(len(outcome.done), len(outcome.failed), len(outcome.left))


if __name__ == "__main__":
    main()
