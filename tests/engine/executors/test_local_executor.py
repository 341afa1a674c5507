from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import synthetic_study as synthetic

from policypress.engine.executors import local_executor
from policypress.engine.executors.local_executor import LocalExecutor, core_count
from policypress.engine.tasks.task import Failure, Task
from policypress_runtime.errors import ExecutionError, StudyInputError


def _runs(pid: int) -> bool:
    """A zombie runs no more; who collects it is not this package's business."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait_until_gone(pids: tuple[int, ...], limit_s: float = 10.0) -> None:
    end = time.monotonic() + limit_s
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < end, "a worker process is still there"
        time.sleep(0.02)


def test_processes_stay_between_tasks_and_end_with_the_executor() -> None:
    with LocalExecutor(2) as executor:
        for number in range(12):
            executor.submit(Task(str(number), synthetic.process_id, None))
        used = {outcome.value for outcome in executor.outcomes()}
        pids = executor.worker_pids
        assert used <= set(pids)
        assert len(pids) == 2
        assert os.getpid() not in pids
    _wait_until_gone(pids)
    assert executor.worker_pids == ()


def test_a_fresh_task_gets_a_process_that_has_done_nothing() -> None:
    with LocalExecutor(1) as executor:
        for key, fresh in (("a", False), ("b", True), ("c", False), ("d", True)):
            executor.submit(Task(key, synthetic.process_and_whether_first, None, fresh=fresh))
        found = {outcome.key: outcome.value for outcome in executor.outcomes()}
        assert len(executor.worker_pids) == 1
    assert {key: first for key, (_, first) in found.items()} == {"a": True, "b": True, "c": False, "d": True}
    assert found["b"][0] == found["c"][0]
    assert len({pid for pid, _ in found.values()}) == 3


def test_each_process_has_one_thread() -> None:
    with LocalExecutor(1) as executor:
        executor.submit(Task("a", synthetic.thread_limits, None))
        assert next(executor.outcomes()).value == ("1", "1", "1")


def test_a_task_whose_process_dies_is_done_once_more(tmp_path: Path) -> None:
    with LocalExecutor(2) as executor:
        executor.submit(Task("dies", synthetic.die_once, str(tmp_path / "marker")))
        executor.submit(Task("fine", synthetic.double, 4))
        assert {o.key: o.value for o in executor.outcomes()} == {"dies": "second time", "fine": 8}


def test_a_task_that_kills_its_processes_fails_and_no_other() -> None:
    with LocalExecutor(1) as executor:
        executor.submit(Task("dies", synthetic.die_always, None))
        executor.submit(Task("fine", synthetic.double, 4))
        found = {outcome.key: outcome for outcome in executor.outcomes()}
    assert found["fine"].value == 8
    failure = found["dies"].failure
    assert failure is not None
    assert isinstance(failure.error, ExecutionError)
    assert "status -9" in failure.message


def test_a_worker_killed_from_outside_loses_nothing() -> None:
    with LocalExecutor(2) as executor:
        for number in range(6):
            executor.submit(Task(str(number), synthetic.nap, 0.2))
        os.kill(executor.worker_pids[0], signal.SIGKILL)
        outcomes = list(executor.outcomes())
    assert sorted(outcome.key for outcome in outcomes) == [str(number) for number in range(6)]
    assert all(outcome.value == 0.2 for outcome in outcomes)


def test_a_worker_killed_while_idle_is_replaced() -> None:
    with LocalExecutor(1) as executor:
        executor.submit(Task("a", synthetic.process_id, None))
        (first,) = (outcome.value for outcome in executor.outcomes())
        os.kill(first, signal.SIGKILL)
        executor.submit(Task("b", synthetic.process_id, None))
        (second,) = (outcome.value for outcome in executor.outcomes())
    assert second != first


def test_processes_that_never_get_going_fail_their_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_executor, "_MAIN", "raise SystemExit(3)")
    with LocalExecutor(2) as executor:
        for number in range(3):
            executor.submit(Task(str(number), synthetic.double, number))
        failures = [outcome.failure for outcome in executor.outcomes()]
    assert len(failures) == 3
    assert all(failure is not None and "exit status 3" in failure.message for failure in failures)


def test_a_process_that_dies_before_its_task_arrives_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_executor._Worker, "give", lambda *arguments: False)
    with LocalExecutor(1) as executor:
        executor.submit(Task("a", synthetic.double, 1))
        (outcome,) = executor.outcomes()
    assert isinstance(outcome.failure, Failure)


def test_a_process_that_cannot_be_started_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/absent/python")
    with LocalExecutor(1) as executor, pytest.raises(ExecutionError, match="could not be started"):
        executor.submit(Task("a", synthetic.double, 1))


def test_what_cannot_travel_is_a_failure() -> None:
    with LocalExecutor(1) as executor:
        executor.submit(Task("there", synthetic.double, lambda: 0))
        executor.submit(Task("back", synthetic.unpicklable, 1))
        executor.submit(Task("fine", synthetic.double, 4))
        found = {outcome.key: outcome for outcome in executor.outcomes()}
    assert found["there"].failure is not None
    assert found["back"].failure is not None
    assert found["fine"].value == 8


def test_large_payloads_and_results_do_not_block() -> None:
    content = os.urandom(4_000_000)
    with LocalExecutor(2) as executor:
        for number in range(4):
            executor.submit(Task(str(number), synthetic.echo, content))
        assert all(outcome.value == content for outcome in executor.outcomes())


def test_cancelling_ends_what_runs() -> None:
    with LocalExecutor(2) as executor:
        for number in range(3):
            executor.submit(Task(str(number), synthetic.nap, 60.0))
        pids = executor.worker_pids
        executor.cancel()
        assert executor.pending == 0
        _wait_until_gone(pids)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_no_orphan_outlives_its_driver(tmp_path: Path, end: signal.Signals) -> None:
    """The driver dies while a worker is in the middle of a long task."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import synthetic_study as s\n"
        "from policypress.engine.executors.local_executor import LocalExecutor\n"
        "from policypress.engine.tasks.task import Task\n"
        "executor = LocalExecutor(1)\n"
        "executor.submit(Task('a', s.write_pid_and_sleep, sys.argv[2]))\n"
        "list(executor.outcomes())\n"
    )
    marker = tmp_path / "pid"
    driver = subprocess.Popen([sys.executable, "-c", script, str(Path(__file__).parents[1]), str(marker)])
    limit = time.monotonic() + 30
    while not (marker.exists() and marker.read_text()):
        assert time.monotonic() < limit
        time.sleep(0.02)
    driver.send_signal(end)
    assert driver.wait(10) == -end
    _wait_until_gone((int(marker.read_text()),))


def test_a_script_without_main_guard_can_use_it(tmp_path: Path) -> None:
    """Workers do not run the user's script again."""
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r}); import synthetic_study as s\n"
        "from policypress.engine.executors.local_executor import LocalExecutor\n"
        "from policypress.engine.tasks.task import Task\n"
        "with LocalExecutor(1) as executor:\n"
        "    executor.submit(Task('a', s.double, 21.0))\n"
        "    print([o.value for o in executor.outcomes()])\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("[42.0]\n", "", 0)


def test_one_process_per_core_by_default() -> None:
    assert LocalExecutor().capacity == core_count() >= 1


def test_no_process_is_refused() -> None:
    with pytest.raises(StudyInputError, match="worker"):
        LocalExecutor(0)
