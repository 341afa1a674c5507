from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from policypress.engine.store.lock import DriverLock
from policypress_runtime.errors import OutputError, StoreError


def test_only_one_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "study.db.lock"
    first = DriverLock(path)
    with pytest.raises(StoreError, match=f"held by process {os.getpid()}"):
        DriverLock(path)
    first.release()
    first.release()
    DriverLock(path).release()


def test_the_message_names_the_process_and_its_death_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "study.db.lock"
    script = (
        "import sys, time; from pathlib import Path; from policypress.engine.store.lock import DriverLock\n"
        "lock = DriverLock(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(StoreError, match=f"held by process {other.pid}"):
            DriverLock(path)
        other.send_signal(signal.SIGKILL)
        other.wait()
        DriverLock(path).release()


def test_a_folder_that_is_not_there_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        DriverLock(tmp_path / "absent" / "study.db.lock")
