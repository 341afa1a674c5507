"""Ray keeps what every executor promises, and a lost node loses nothing."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import synthetic_study as synthetic
from test_executor import ExecutorConformance

from policypress.engine.executors.ray_executor import RayExecutor
from policypress.engine.tasks import Task
from policypress.errors import ExecutionError, MissingDependencyError, StudyInputError

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
