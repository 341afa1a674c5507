from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from policypress.measurement.costs.memory import bare_python_bytes, measure_peak_rss, peak_rss_bytes
from policypress_runtime.errors import ExecutionError

MIB = 2**20


def test_a_fresh_process_is_larger_than_bare_python_and_has_no_torch(artifact: Path) -> None:
    bare, acting = bare_python_bytes(), peak_rss_bytes(artifact)
    assert 4 * MIB < bare < 25 * MIB
    assert bare + 15 * MIB < acting < 120 * MIB, "numpy and ONNX Runtime, not torch"


def test_the_callers_own_memory_does_not_count() -> None:
    """Linux passes the peak of the starting process on as ru_maxrss, which would show these 300 MB."""
    before = bare_python_bytes()
    ballast = np.ones(300_000_000, np.uint8)
    assert abs(bare_python_bytes() - before) < 4 * MIB
    assert ballast.all()


def test_every_process_is_a_sample(artifact: Path) -> None:
    done: list[None] = []
    found = measure_peak_rss(
        {"a": artifact, "b": artifact},
        {"cpu": "c"},
        {"a": "onnxruntime", "b": "onnxruntime"},
        processes=2,
        on_process=lambda: done.append(None),
    )
    assert len(done) == 4
    for measurement in found.values():
        assert (measurement.quantity, measurement.unit, measurement.source) == ("peak_rss", "B", "measured")
        assert len(measurement.samples) == 2
        assert np.ptp(measurement.samples) < 8 * MIB
        assert measurement.protocol["runtime"] == "onnxruntime"
        assert measurement.protocol["what"] == "fresh process that loads the artifact and acts"
        assert 0 < measurement.protocol["bare_python_bytes"] < min(measurement.samples)


def test_a_process_that_fails_is_an_error_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(ExecutionError, match=r"exit status 1: .*There is no artifact at this path"):
        peak_rss_bytes(tmp_path / "absent.onnx")
