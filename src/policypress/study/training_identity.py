"""What makes two trainings the same one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def training_identity(stored: Mapping[str, Any]) -> str:
    """Identity of the agent that a training gives: SHA-256 of its spec without device and update, in hex.

    The updates are the same learning up to rounding, as two machines are.
    """
    kept = {name: value for name, value in stored.items() if name not in ("device", "update")}
    text = json.dumps({"training": kept}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
