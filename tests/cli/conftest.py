"""Modules that tests of the command line share."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in (Path(__file__).parent, Path(__file__).parents[1] / "policy"):
    sys.path.insert(0, str(folder))
