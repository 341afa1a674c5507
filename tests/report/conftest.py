"""Lets the tests of this folder import their shared synthetic study, and makes it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from synthetic_results import make_study

from policypress.engine.store.reader import STORE_NAME, StoreReader
from policypress.report.results import Results, read_results


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., tuple[Path, dict[str, str]]]:
    """Makes a synthetic store: its path, and name → key."""

    def make(**options: object) -> tuple[Path, dict[str, str]]:
        path = tmp_path / "study" / STORE_NAME
        return path, make_study(path, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture
def read(make_store: Callable[..., tuple[Path, dict[str, str]]]) -> Callable[..., Results]:
    """Makes a synthetic store and reads its results."""

    def make(**options: object) -> Results:
        path, cells = make_store(**options)
        with StoreReader(path) as store:
            return read_results(store, cells, {"cpu": "the machine of the report"})

    return make
