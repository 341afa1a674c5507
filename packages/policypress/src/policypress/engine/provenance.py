"""With what a result was made: versions of the packages that can change it, Python, platform."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = (
    "policypress",
    "numpy",
    "torch",
    "torch-pruning",
    "onnx",
    "onnxruntime",
    "gymnasium",
    "mujoco",
    "ale-py",
    "stable-baselines3",
    "sb3-contrib",
)


def provenance() -> dict[str, Any]:
    """JSON of the installed versions; nothing is imported for it, and a package that is absent is left out."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "packages": packages,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.machine(),
    }
