"""Lets the tests of this folder import their synthetic study, and makes reports of it."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from chosen_study import make

from policypress.engine.store.reader import STORE_NAME, StoreReader
from policypress.report.grid.report import GridReport, read_report

Read = Callable[..., GridReport]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Makes a synthetic study and reads its report."""

    numbers = itertools.count()

    def read(**options: object) -> GridReport:
        path = tmp_path / f"synthetic-{next(numbers)}" / STORE_NAME
        make(path, **options)  # type: ignore[arg-type]
        with StoreReader(path) as store:
            return read_report(store, "synthetic", "synthetic.yml", "numbers that are chosen")

    return read
