"""Lets the tests of the papers' reports import the synthetic studies of the tests of reports."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "report"))
