"""Ray keeps what every executor promises, and a lost node loses nothing."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import synthetic_study as synthetic
from test_executor import ExecutorConformance

from policypress.engine.executors import ray_executor
from policypress.engine.executors.ray_executor import LOSSES, Losses, RayExecutor
from policypress.engine.tasks.task import Task, perform
from policypress_runtime.errors import ExecutionError, MissingDependencyError, StudyInputError

pytestmark = [
    # Ray imports what will go, and leaves sockets to the end of the process.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="class")
def executor() -> Iterator[RayExecutor]:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    with RayExecutor(jobs=2) as executor:
        yield executor


@pytest.mark.slow
class TestRayExecutor(ExecutorConformance):
    def test_a_process_that_dies_each_time_is_a_failure(self, executor: RayExecutor) -> None:
        found = self.run(executor, synthetic.die_always, None)
        failure = found["0"].failure
        assert failure is not None
        assert isinstance(failure.error, ExecutionError)

    def test_a_process_that_dies_once_is_replaced(self, executor: RayExecutor, tmp_path: Path) -> None:
        found = self.run(executor, synthetic.die_once, str(tmp_path / "died"))
        assert found["0"].failure is None
        assert (tmp_path / "died").exists()


@pytest.mark.slow
def test_a_node_lost_in_the_middle_loses_no_task() -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        lost = cluster.add_node(num_cpus=2)
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        with RayExecutor(address=cluster.address) as executor:
            assert executor.capacity == 4
            for number in range(24):
                executor.submit(Task(str(number), synthetic.nap, 0.5))
            killer = threading.Thread(target=lambda: (time.sleep(1.5), cluster.remove_node(lost, allow_graceful=False)))
            killer.start()
            found = {outcome.key: outcome.value for outcome in executor.outcomes()}
            killer.join()
        assert found == {str(number): 0.5 for number in range(24)}
    finally:
        cluster.shutdown()


@pytest.mark.slow
def test_a_node_lost_under_a_measurement_is_replaced_by_another() -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        lost = cluster.add_node(num_cpus=2)
        cluster.wait_for_nodes()
        with RayExecutor(address=cluster.address) as executor:
            assert executor.machines == 2
            for number in range(2):
                executor.submit(Task(str(number), synthetic.nap, 4.0, alone=True))
            killer = threading.Thread(target=lambda: (time.sleep(2), cluster.remove_node(lost, allow_graceful=False)))
            killer.start()
            found = {outcome.key: outcome.value for outcome in executor.outcomes()}
            killer.join()
        assert found == {"0": 4.0, "1": 4.0}
    finally:
        cluster.shutdown()


@pytest.mark.slow
def test_nodes_lost_one_after_the_other_fail_no_task() -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        lost = [cluster.add_node(num_cpus=2) for _ in range(2)]
        cluster.wait_for_nodes()
        with RayExecutor(address=cluster.address) as executor:
            for number in range(10):
                executor.submit(Task(str(number), synthetic.nap, 3.0))

            def kill() -> None:
                for node in lost:  # a task that was on the first is on the second by then
                    time.sleep(12)
                    cluster.remove_node(node, allow_graceful=False)

            killer = threading.Thread(target=kill)
            killer.start()
            found = {outcome.key: outcome.value for outcome in executor.outcomes()}
            killer.join()
        assert found == {str(number): 3.0 for number in range(10)}
    finally:
        cluster.shutdown()


def test_what_a_lost_node_took_is_begun_again_and_what_ends_its_worker_is_failed() -> None:
    losses = Losses()
    rests = [losses.rest_s("innocent", "NodeDiedError") for _ in range(LOSSES)]
    assert rests == [1.0, 2.0, 4.0, 8.0, 16.0, None]
    assert losses.rest_s("other", "ObjectLostError") == 1.0
    assert losses.rest_s("guilty", "NodeDiedError") == 1.0
    assert losses.rest_s("guilty", "WorkerCrashedError") == 0.0  # the loss of the node does not count
    assert losses.rest_s("guilty", "WorkerCrashedError") is None
    assert "worker died at every attempt" in losses.failure("guilty", "WorkerCrashedError").message
    assert "node was lost at every attempt" in losses.failure("innocent", "NodeDiedError").message
    losses.forget("innocent")
    assert losses.rest_s("innocent", "NodeDiedError") == 1.0


class _FakeRay:
    """A cluster whose tasks end as ``script`` says: with errors of these names one after the other, then well."""

    def __init__(self, script: dict[str, list[str]]) -> None:
        self._script = {key: list(names) for key, names in script.items()}
        error = type("RayError", (Exception,), {})
        told = type("RayTaskError", (error,), {"cause": ValueError("it does not travel")})
        self._kinds = {name: type(name, (error,), {}) for names in script.values() for name in names}
        self._kinds["RayTaskError"] = told
        self.exceptions = SimpleNamespace(RayError=error, RayTaskError=told)
        self.begun: list[str] = []

    def is_initialized(self) -> bool:
        return True

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def remote(self, **options: Any) -> Any:
        assert options["max_retries"] == 0
        return lambda function: SimpleNamespace(
            remote=lambda task: (len(self.begun), self.begun.append(task.key), task)
        )

    def wait(self, references: list[Any], num_returns: int, timeout: float | None) -> tuple[list[Any], list[Any]]:
        return references[:1], references[1:]

    def get(self, reference: Any) -> Any:
        task = reference[-1]
        left = self._script.get(task.key, [])
        if left:
            raise self._kinds[left.pop(0)]()
        return perform(task)

    def cancel(self, reference: Any, force: bool) -> None:
        raise AssertionError("nothing is left to cancel")


def test_the_executor_follows_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = _FakeRay(
        {
            "often lost": ["NodeDiedError", "TaskUnschedulableError", "ObjectLostError"],
            "dies": ["WorkerCrashedError"] * 9,
            "sinks nodes": ["NodeDiedError"] * 9,
            "untold": ["RayTaskError"],
        }
    )
    monkeypatch.setattr(ray_executor, "_ray", lambda: fake)
    monkeypatch.setattr(ray_executor, "_REST_S", 0.001)
    with RayExecutor() as executor:
        for key in ("often lost", "dies", "fine", "sinks nodes", "untold"):
            executor.submit(Task(key, synthetic.double, 4))
        found = {outcome.key: outcome for outcome in executor.outcomes()}
        assert executor.pending == 0
    assert found["often lost"].value == found["fine"].value == 8
    failures = {key: outcome.failure for key, outcome in found.items() if outcome.failure is not None}
    assert set(failures) == {"dies", "sinks nodes", "untold"}
    assert "WorkerCrashedError after 2 attempts" in failures["dies"].message
    assert f"NodeDiedError after {LOSSES} attempts" in failures["sinks nodes"].message
    assert failures["untold"].message == "it does not travel"
    assert [fake.begun.count(key) for key in ("often lost", "dies", "sinks nodes", "untold")] == [4, 2, LOSSES, 1]


def test_no_job_is_refused() -> None:
    with pytest.raises(StudyInputError, match="needs a worker"):
        RayExecutor(jobs=0)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"policypress\[ray\]"):
        RayExecutor()


def test_no_cluster_at_the_address_is_said_so() -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    with pytest.raises(ExecutionError, match="no Ray cluster"):
        RayExecutor(address="127.0.0.1:1")
