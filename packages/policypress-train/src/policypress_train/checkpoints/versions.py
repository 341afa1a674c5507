"""Versions of the packages that a training's result depends on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    "policypress",
    "stable-baselines3",
    "sb3-contrib",
    "torch",
    "numpy",
    "gymnasium",
    "mujoco",
    "box2d",
    "ale-py",
)


def versions() -> dict[str, str]:
    """Package → version, with Python and platform; packages that are not installed are left out."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
