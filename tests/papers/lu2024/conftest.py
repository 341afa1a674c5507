"""Lets the tests of this folder import their shared synthetic grid, and makes reports of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from synthetic_grid import make_grid

from policypress.engine.store.reader import STORE_NAME, StoreReader
from policypress_lu2024.cells.assembling import read_study_report
from policypress_lu2024.study_report import StudyReport


@pytest.fixture
def grid(tmp_path: Path) -> Callable[..., Path]:
    """Makes a synthetic grid and gives the path of its store."""

    def make(**options: object) -> Path:
        path = tmp_path / "synthetic" / STORE_NAME
        make_grid(path, **options)  # type: ignore[arg-type]
        return path

    return make


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> StudyReport:
    """The report of a grid with every cell, made once."""
    path = tmp_path_factory.mktemp("whole") / STORE_NAME
    make_grid(path)
    with StoreReader(path) as store:
        return read_study_report(store, "synthetic.yml")


@pytest.fixture
def report(grid: Callable[..., Path]) -> Callable[..., StudyReport]:
    """Makes a synthetic grid, of one combination unless told otherwise, and reads its report."""

    def make(**options: object) -> StudyReport:
        small = {"algorithms": ("ppo",), "environments": ("HalfCheetah-v4",), "seeds": 2}
        with StoreReader(grid(**{**small, **options})) as store:
            return read_study_report(store, "synthetic.yml")

    return make
