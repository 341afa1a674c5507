"""Makes the small policies of the policy tests, and artifacts of them, importable."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kept_for_a_run import folder_of_the_run

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "policy")]


@pytest.fixture(scope="session", autouse=True)
def _own_cache() -> Iterator[None]:
    """Modules are built into a folder of this run, once for all tests; the user's own cache is left alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder_of_the_run() / "cache"))
        yield
