"""A small run of the benchmark of the parity gate: no right network refused, no wrong file passed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def gates() -> ModuleType:
    spec = importlib.util.spec_from_file_location("parity_gates", BENCHMARKS / "parity_gates.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_no_right_network_is_refused(gates: ModuleType) -> None:
    passed, refused = gates.right(24, 0)
    assert refused == []
    assert passed == 24 * 2 + 6


def test_no_wrong_file_passes_and_nearly_all_show(gates: ModuleType) -> None:
    caught, shown, missed = gates.wrong(24, 0)
    assert missed == []
    assert sum(caught.values()) == 24
    assert sum(shown.values()) >= 18
