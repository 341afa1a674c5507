from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from policypress.measurement.costs.energy_meters import Meter
from policypress.measurement.costs.measuring import CostProtocol, measure_costs
from policypress.records import Measurement
from policypress_runtime.errors import ArtifactError, MeterError, StudyInputError

QUICK = CostProtocol(warm_samples=50, cold_samples=2, windows=2, window_s=0.005, processes=1)


class Counter:
    """A meter of constant power above idle; it vanishes at reading number ``gone``."""

    name = "rapl"
    covers = "processor"
    resolution_j = 1e-6
    update_s = 1e-9

    def __init__(self, step_j: float = 1.0, gone: int | None = None) -> None:
        self.step_j = step_j
        self.gone = gone
        self.readings = 0

    def energy_j(self) -> float:
        self.readings += 1
        if self.readings == self.gone:
            raise MeterError("The counter vanished.")
        # Every second reading ends a window of acting or idling; only acting takes energy.
        windows, acting = self.readings // 2, {1, 2, 4, 5}
        return self.step_j * sum(1 for number in range(windows) if number in acting)

    def described(self) -> dict[str, object]:
        return {"zones": ["intel-rapl:0 package-0"]}


def costs(artifact: Path, **options: Any) -> dict[str, dict[str, Measurement]]:
    found = measure_costs({"none": artifact, "same": artifact}, QUICK, **options)
    return {
        name: {m.quantity + ("_cold" if m.protocol.get("cache") == "cold" else ""): m for m in rows}
        for name, rows in found.items()
    }


def test_every_artifact_has_every_cost_and_steps_are_told(artifact: Path) -> None:
    steps: list[tuple[int, int]] = []
    found = costs(artifact, meters={}, on_step=lambda done, total: steps.append((done, total)))
    assert list(found) == ["none", "same"]
    for rows in found.values():
        assert list(rows) == ["latency", "latency_cold", "peak_rss", "cpu_per_action", "energy_per_action"]
        assert [len(m.samples) for m in rows.values()] == [50, 2, 1, 2, 2]
        assert all(value > 0 for m in rows.values() for value in m.samples)
        assert {m.machine["python"] for m in rows.values()} == {rows["latency"].machine["python"]}
        assert rows["cpu_per_action"].protocol["runtime"] == "onnxruntime"
        assert rows["energy_per_action"].source == "modelled"
        cpu, joules = rows["cpu_per_action"].samples, rows["energy_per_action"].samples
        assert joules == pytest.approx([12.0 * value for value in cpu])
    done = [number for number, _ in steps]
    assert done == sorted(done)
    assert steps[-1][0] <= steps[-1][1]


def test_energy_is_measured_where_a_meter_can(artifact: Path) -> None:
    meter = Counter()
    for rows in costs(artifact, meters={"rapl": lambda: meter}).values():
        found = rows["energy_per_action"]
        assert (found.source, found.protocol["meter"], len(found.samples)) == ("measured", "rapl", 2)
        assert all(value > 0 for value in found.samples)


@pytest.mark.parametrize(
    ("meter", "reason"),
    [
        (Counter(gone=1), "vanished"),
        (Counter(gone=5), "vanished"),
        (Counter(gone=12), "vanished"),
        (Counter(step_j=0.0), "below resolution: the counter stood still"),
    ],
    ids=["at once", "while acting", "at the end", "stands still"],
)
def test_a_meter_that_fails_leaves_the_model_with_the_reason(artifact: Path, meter: Meter, reason: str) -> None:
    for rows in costs(artifact, meters={"rapl": lambda: meter}, watts_per_core=3.0).values():
        found = rows["energy_per_action"]
        assert found.source == "modelled"
        assert reason in found.protocol["not_measured"]["rapl"]
        assert found.samples == pytest.approx([3.0 * value for value in rows["cpu_per_action"].samples])
        assert len(found.samples) == 2


def test_bad_input_is_told_before_anything_is_measured(artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyInputError, match="busy core"):
        measure_costs({"a": artifact}, QUICK, watts_per_core=-1.0)
    with pytest.raises(ArtifactError):
        measure_costs({"a": tmp_path / "absent.onnx"}, QUICK)
    assert measure_costs({}, QUICK) == {}
