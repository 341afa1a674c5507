"""Makes what the tests of this folder share importable: networks of property tests, and real robots' policies."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pytest
from robot_files import robots_folder


@pytest.fixture(scope="session")
def robots() -> Path:
    """Folder of real robots' policies; the test is skipped without it."""
    return robots_folder()
