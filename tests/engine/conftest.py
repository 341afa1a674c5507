"""Puts this folder on the import path, so that worker processes find ``synthetic_study`` too."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
