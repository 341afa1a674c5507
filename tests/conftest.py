"""Test-wide settings: shapes are checked at run time, one thread, reproducible property tests."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MUJOCO_GL", "disable")

import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

install_import_hook("policypress", "beartype.beartype")

settings.register_profile(
    "policypress",
    deadline=None,
    derandomize=True,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("policypress")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_agents() -> Path:
    """Folder of real trained agents beside the repository; the test is skipped where it is absent."""
    folder = ROOT.parent / "shared" / "agents"
    if not folder.is_dir():
        pytest.skip("the folder of real agents beside the repository is absent")
    return folder


@pytest.fixture(scope="session")
def own_agents() -> Path:
    """Folder of the small agents that the repository ships."""
    return ROOT / "examples" / "agents"
