from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any

import pytest

from policypress.measurement.costs.latency import FLOOR, ROUNDS, Acting, acting_of, benchmark, interleaved
from policypress_runtime.runtimes.loading import load_artifact


def sleeper(name: str, seconds: float, log: list[str]) -> Acting:
    def act(_: Any) -> None:
        log.append(name)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    return Acting(name, "python", act, [None])


def test_latencies_are_those_of_the_actions_and_the_floor_is_stated() -> None:
    log: list[str] = []
    rounds: list[None] = []
    found = interleaved(
        [sleeper("slow", 2e-4, log), sleeper("fast", 5e-5, log)],
        {"cpu": "c"},
        samples=40,
        cold_samples=4,
        seed=0,
        on_round=lambda: rounds.append(None),
    )
    assert [latency.name for latency in found] == [FLOOR, "slow", "fast"]
    floor, slow, fast = (latency.percentiles_s() for latency in found)
    assert floor["p50"] < fast["p50"]
    assert 2e-4 <= slow["p50"] < 1e-3
    assert 5e-5 <= fast["p50"] < slow["p50"]
    assert slow["p50"] <= slow["p95"] <= slow["p99"] <= slow["p99.9"] <= slow["max"]
    warm, cold = found[1].warm, found[1].cold
    assert (len(warm.samples), len(cold.samples)) == (40, 4)
    for measurement, cache, percentiles in ((warm, "warm", floor), (cold, "cold", found[0].percentiles_s("cold"))):
        said = measurement.protocol
        expected = {
            "cache": cache,
            "batch": 1,
            "threads": 1,
            "runtime": "python",
            "clock": "perf_counter_ns",
            "interleaved": True,
            "rounds": ROUNDS,
        }
        assert {key: said[key] for key in expected} == expected
        assert said["floor_s"] == {name: percentiles[name] for name in ("p50", "p95", "p99")}
    assert len(rounds) == ROUNDS + 4


def test_subjects_take_turns_in_changing_order() -> None:
    log: list[str] = []
    interleaved([sleeper(n, 0, log) for n in "abc"], {}, samples=ROUNDS, cold_samples=30, seed=1)
    turns = log[300:]
    assert all(set(turns[i : i + 3]) == set("abc") for i in range(0, len(turns), 3))
    assert len({tuple(turns[i : i + 3]) for i in range(0, len(turns), 3)}) > 3


def test_samples_are_whole_nanoseconds_and_garbage_collection_is_as_before(artifact: Path) -> None:
    found = interleaved([acting_of("a", load_artifact(artifact), 0)], {}, samples=50, cold_samples=1, seed=0)[1]
    assert all(value == round(value, 9) for value in found.warm.samples)
    assert gc.isenabled()
    gc.disable()
    try:
        interleaved([sleeper("a", 0, [])], {}, samples=10, cold_samples=1, seed=0)
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", ["artifact", "agent"])
def test_artifacts_and_agents_are_benchmarked(kind: str, artifact: Path, own_agents: Path) -> None:
    file = artifact if kind == "artifact" else own_agents / "dqn-CartPole-v1.zip"
    floor, found = benchmark([file], samples=50, cold_samples=2)
    assert (floor.name, found.name, found.runtime) == (FLOOR, str(file), "onnxruntime")
    assert floor.percentiles_s()["p50"] < found.percentiles_s()["p50"] < 0.01
