"""Puts this folder and that of ``synthetic_study`` on the import path, also that of worker processes."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path

import pytest

from policypress.engine.executors.debug_executor import DebugExecutor
from policypress.study.whole_study import Study, run_whole_study

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "engine")]

small_study = importlib.import_module("small_study").small_study


@pytest.fixture(scope="session")
def _done_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small-study")
    assert not run_whole_study(small_study(folder), DebugExecutor()).left
    return folder


@pytest.fixture
def done_study(_done_once: Path, tmp_path: Path) -> Study:
    """The small study, done, in a folder of the test's own."""
    shutil.copytree(_done_once / "results", tmp_path / "results")
    return small_study(tmp_path)
