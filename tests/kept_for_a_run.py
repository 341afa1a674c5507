"""What is made once for all tests of a run, whichever worker of pytest needs it first; the next run makes it anew."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

_VARIABLE = "POLICYPRESS_TESTS_FOLDER"


def folder_of_the_run() -> Path:
    """A folder that all processes of a run of the tests share; removed at its end."""
    if _VARIABLE not in os.environ:
        folder = tempfile.mkdtemp(prefix="policypress-tests-")
        # Workers of pytest, and what tests start, inherit it.
        os.environ[_VARIABLE] = folder
        owner = os.getpid()
        atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == owner else None)
    return Path(os.environ[_VARIABLE])


def once_for_all_tests(name: str, make: Callable[[], str]) -> str:
    """The text ``name``, made by the first who asks."""
    path = folder_of_the_run() / name
    if not path.is_file():
        partial = path.with_name(f"{name}.{os.getpid()}")
        partial.write_text(make(), encoding="utf-8")
        partial.rename(path)
    return path.read_text(encoding="utf-8")
