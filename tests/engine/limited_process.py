"""A driver whose files may not grow beyond a size: FOLDER LARGEST_FILE_BYTES. It is refused as on a full disk."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from synthetic_study import SyntheticWorker, variant

from policypress.engine.executors.debug_executor import DebugExecutor
from policypress.engine.plan import Plan
from policypress.engine.scheduler import run_cells
from policypress.engine.store.store import Store
from policypress_runtime.errors import PolicypressError


def main() -> None:
    cells = [variant(f"recipe {number}", 100) for number in range(40)]
    try:
        with Store(Path(sys.argv[1]) / "study.db") as store:
            store.plan(cells)
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
            run_cells(Plan(tuple(cells)), SyntheticWorker(), store, DebugExecutor())
    except PolicypressError as error:
        print(error)
        sys.exit(error.exit_code)
    print("complete")


if __name__ == "__main__":
    main()
