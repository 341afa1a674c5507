"""Puts this folder and that of ``synthetic_study`` on the import path, also that of worker processes."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "engine")]
