"""Costs of one agent's artifact under both runtimes, measured for real, as little of it as there can be."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from policypress.engine.tasks import costs as cost_tasks
from policypress.engine.tasks.calibration import Calibration
from policypress.engine.tasks.costs import CostPayload, CostRequest, CostSubject, MeasuredCosts
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress.measurement.costs.measuring import CostProtocol
from policypress.study.export_agent import export_agent
from policypress_runtime.errors import ArtifactError, ParityError
from policypress_runtime.runtimes.protocol import RuntimeName
from policypress_runtime.toolchain.compiler import find_compiler

LITTLE = CostProtocol(warm_samples=10, cold_samples=10, windows=1, window_s=0.01, processes=1)


@pytest.fixture(scope="module")
def artifact(own_agents: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("artifact") / "policy.onnx"
    export_agent(str(own_agents / "dqn-CartPole-v1.zip"), path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def observations(own_agents: Path) -> np.ndarray:
    parity = Calibration(agent_in_environment(str(own_agents / "dqn-CartPole-v1.zip"))).drawn_materials().parity
    assert isinstance(parity, np.ndarray)
    return parity


def measured(observations: np.ndarray, *subjects: CostSubject) -> MeasuredCosts:
    payload = CostPayload(subjects, observations, CostRequest(LITTLE, 0, 10.0), run="now")
    return cost_tasks.measure(pickle.loads(pickle.dumps(payload)))


@pytest.mark.parametrize("runtime", ["onnxruntime", "native"])
def test_every_quantity_is_measured(artifact: bytes, observations: np.ndarray, runtime: RuntimeName) -> None:
    if runtime == "native":
        find_compiler()
    costs = measured(observations, CostSubject("a", artifact, runtime, (10, 30)))
    assert costs.failed == {}
    rows = {(row.quantity, row.protocol.get("cache")): row for row in costs.measured["a"]}
    assert set(rows) == {
        ("latency", "warm"),
        ("latency", "cold"),
        ("peak_rss", None),
        ("cpu_per_action", None),
        ("cpu_per_episode", None),
        ("energy_per_action", None),
        ("energy_per_episode", None),
    }
    for row in rows.values():
        assert row.protocol["runtime"] == runtime
        assert row.protocol["run"] == "now"
        assert min(row.samples) > 0
    cpu, episode = rows["cpu_per_action", None], rows["cpu_per_episode", None]
    assert episode.samples == pytest.approx([20 * value for value in cpu.samples])
    assert (episode.unit, episode.protocol["mean_episode_length"]) == ("s", 20.0)


def test_one_that_cannot_be_loaded_or_proven_fails_alone(
    artifact: bytes, observations: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unproven(*_: object) -> None:
        raise ParityError("The file does not do what it should.")

    monkeypatch.setattr(cost_tasks, "check_runtime", unproven)
    subjects = [
        CostSubject("damaged", b"no model", "onnxruntime", ()),
        CostSubject("unproven", artifact, "native", ()),
        CostSubject("sound", artifact, "onnxruntime", ()),
    ]
    costs = measured(observations, *subjects)
    assert {key: failure.kind for key, failure in costs.failed.items()} == {
        "damaged": ArtifactError.__name__,
        "unproven": ParityError.__name__,
    }
    assert {row.quantity for row in costs.measured["sound"]} == {
        "latency",
        "peak_rss",
        "cpu_per_action",
        "energy_per_action",
    }


def test_without_a_sound_artifact_nothing_is_measured(observations: np.ndarray) -> None:
    costs = measured(observations, CostSubject("damaged", b"no model", "onnxruntime", ()))
    assert (list(costs.failed), costs.measured) == (["damaged"], {})
