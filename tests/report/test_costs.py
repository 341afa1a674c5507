"""Costs from measurements: the newest, of this artifact, measured before modelled, and never a zero for nothing."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_results import MACHINE, costs

from policypress.measurement.statistics import Missing
from policypress.records import Measurement
from policypress.report.costs import Energy, Latency, Memory, percentiles, read_costs, runtimes_of


def test_every_quantity_is_read() -> None:
    found = read_costs(costs(1000))
    assert isinstance(found.latency, Latency)
    assert found.latency.warm_s["p50"] == pytest.approx(np.percentile([2e-6 * (1 + 0.01 * i) for i in range(50)], 50))
    assert found.latency.cold_s is not None
    assert found.latency.cold_s["max"] == pytest.approx(5 * found.latency.warm_s["max"])
    assert found.latency.floor_s == {"p50": 1e-7, "p95": 2e-7, "p99": 3e-7}
    assert isinstance(found.memory, Memory)
    assert (found.memory.peak_rss_bytes, found.memory.bare_python_bytes) == (5.1e7, 9_000_000)
    assert found.cpu_s_per_action == 3e-6
    assert isinstance(found.energy, Energy)
    assert (found.energy.source, found.energy.per_action_j, found.energy.per_episode_j) == ("modelled", 3.6e-5, 3.6e-2)
    assert found.machine == MACHINE


def test_nothing_measured_is_undefined_and_null() -> None:
    data = read_costs(()).to_json()
    for key in ("latency_s", "peak_rss_bytes", "cpu_s_per_action", "energy_j"):
        assert data[key] is None
        assert data[f"{key}_reason"] == "not measured"


def test_a_row_without_samples_tells_why() -> None:
    row = Measurement("energy_per_action", "J", (), {"reason": "below resolution"}, MACHINE)
    assert read_costs([row]).energy == Missing("below resolution")


def test_measured_joules_come_before_modelled_ones_and_the_newest_before_older_ones() -> None:
    def joules(value: float, source: str) -> Measurement:
        return Measurement("energy_per_action", "J", (value,), {}, MACHINE, source=source)  # type: ignore[arg-type]

    found = read_costs([joules(1.0, "measured"), joules(2.0, "measured"), joules(3.0, "modelled")]).energy
    assert isinstance(found, Energy)
    assert (found.per_action_j, found.source) == (2.0, "measured")


def test_costs_of_an_earlier_artifact_do_not_count() -> None:
    row = Measurement("cpu_per_action", "s", (1.0,), {"artifact_sha256": "old"}, MACHINE)
    assert isinstance(read_costs([row], "new").cpu_s_per_action, Missing)
    assert read_costs([row], "old").cpu_s_per_action == 1.0


def test_runtimes_are_told_apart_and_the_native_one_comes_first() -> None:
    def seconds(value: float, runtime: str, artifact: str = "new") -> Measurement:
        said = {"runtime": runtime, "artifact_sha256": artifact}
        return Measurement("cpu_per_action", "s", (value,), said, MACHINE)

    rows = [seconds(4.0, "onnxruntime"), seconds(1.0, "native"), seconds(9.0, "litert", "old")]
    assert runtimes_of(rows, "new") == ("native", "onnxruntime")
    assert runtimes_of(rows, "old") == ("litert",)
    assert runtimes_of([]) == ()
    assert read_costs(rows, "new", "native").cpu_s_per_action == 1.0
    assert read_costs(rows, "new", "onnxruntime").cpu_s_per_action == 4.0


def test_percentiles_are_those_of_numpy() -> None:
    samples = np.random.default_rng(0).gamma(2.0, size=1000).tolist()
    found = percentiles(samples)
    assert list(found) == ["p50", "p95", "p99", "p99.9", "max"]
    assert found["p99.9"] == pytest.approx(np.quantile(samples, 0.999))
