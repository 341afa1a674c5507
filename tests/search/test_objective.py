"""What is made small: sizes are read off, costs are measured beside the baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from policypress.measurement.costs.measuring import Costs
from policypress.records import ArtifactRecord, Measurement
from policypress.search import objective
from policypress.search.objective import Objective

LATENCY_S = {"none": 4e-6, "small": 1e-6, "tiny": 5e-7}


def record(recipe: str, packed: int, macs: int) -> ArtifactRecord:
    return ArtifactRecord(recipe, "0" * 16, f"{recipe}.onnx", "0" * 64, 9, packed, 9, macs, 0.0, 0.0, 0.1, 0.0, 1.0)


RECORDS = {"none": record("none", 4000, 900), "small": record("small", 1000, 800), "tiny": record("tiny", 500, 850)}


def test_size_and_multiply_accumulates_are_known() -> None:
    assert Objective("size", Path()).values(RECORDS) == {"none": 4000.0, "small": 1000.0, "tiny": 500.0}
    assert Objective("macs", Path()).values(RECORDS) == {"none": 900.0, "small": 800.0, "tiny": 850.0}
    assert not Objective("macs", Path()).measured


@pytest.mark.parametrize("minimize", ["latency", "energy"])
def test_costs_are_shares_of_the_baseline_s_and_measured_once(minimize: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    drift = iter((1.0, 3.0))

    def measure(files: dict[str, Path], *_: Any, **__: Any) -> Costs:
        asked.append(sorted(files))
        slower = next(drift)
        return {
            name: tuple(
                Measurement(quantity, "s", (slower * LATENCY_S[name],) * 3, {"cache": cache}, {})
                for quantity, cache in (("latency", "warm"), ("latency", "cold"), ("energy_per_action", "none"))
            )
            for name in files
        }

    monkeypatch.setattr(objective, "measure_costs", measure)
    found = Objective(minimize, Path())
    assert found.measured
    first = found.values({name: RECORDS[name] for name in ("none", "small")})
    assert first == {"none": 1.0, "small": 0.25}
    assert found.values(RECORDS) == pytest.approx({"none": 1.0, "small": 0.25, "tiny": 0.125})
    assert asked == [["none", "small"], ["none", "tiny"]]


@pytest.mark.parametrize(("runtime", "asked"), [("native", None), ("onnxruntime", "onnxruntime")])
def test_latency_is_the_best_runtime_s_unless_another_is_asked_for(
    runtime: Any, asked: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Natively where that can be had; a recipe without a native form is measured as it would act."""
    seen: list[Any] = []

    def measure(files: dict[str, Path], protocol: Any, runtimes: dict[str, str] | None, **_: Any) -> Costs:
        seen.append(runtimes)
        return {name: (Measurement("latency", "s", (LATENCY_S[name],), {"cache": "warm"}, {}),) for name in files}

    monkeypatch.setattr(objective, "measure_costs", measure)
    Objective("latency", Path(), runtime=runtime).values({name: RECORDS[name] for name in ("none", "small")})
    assert seen == [None if asked is None else {"none": asked, "small": asked}]
