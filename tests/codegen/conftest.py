"""Makes what the tests of generated C share importable."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in (Path(__file__).parent, Path(__file__).parents[1] / "policy"):
    sys.path.insert(0, str(folder))
