"""One conformance class; every executor has to pass it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import synthetic_study as synthetic

from policypress.engine.executors.asking_executor import AskingExecutor
from policypress.engine.executors.debug_executor import DebugExecutor
from policypress.engine.executors.executor import Executor
from policypress.engine.executors.local_executor import LocalExecutor
from policypress.engine.tasks.task import Outcome, Task
from policypress_runtime.errors import RecipeError


@pytest.fixture(scope="class")
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with request.cls.make() as executor:
        yield executor


class ExecutorConformance:
    """What :class:`Executor` promises; the tests of a new one subclass this and say how it is made."""

    make: Callable[[], Executor]

    @staticmethod
    def run(executor: Executor, function: Callable[[Any], Any], *payloads: Any) -> dict[str, Outcome]:
        for number, payload in enumerate(payloads):
            executor.submit(Task(str(number), function, payload))
        outcomes = list(executor.outcomes())
        assert len(outcomes) == len({outcome.key for outcome in outcomes}) == len(payloads)
        assert executor.pending == 0
        return {outcome.key: outcome for outcome in outcomes}

    def test_every_task_has_one_outcome(self, executor: Executor) -> None:
        found = self.run(executor, synthetic.double, *range(23))
        assert {int(key): outcome.value for key, outcome in found.items()} == {n: 2 * n for n in range(23)}

    def test_nothing_pending_gives_nothing(self, executor: Executor) -> None:
        assert executor.pending == 0
        assert list(executor.outcomes()) == []
        assert executor.capacity >= 1

    def test_what_must_be_alone_runs_one_on_each_machine(self, executor: Executor) -> None:
        assert executor.machines >= 1
        for number in range(executor.machines):
            executor.submit(Task(f"alone {number}", synthetic.double, number, alone=True))
        found = {outcome.key: outcome.value for outcome in executor.outcomes()}
        assert found == {f"alone {number}": 2 * number for number in range(executor.machines)}

    def test_tasks_may_follow_from_outcomes(self, executor: Executor) -> None:
        executor.submit(Task("1", synthetic.double, 1))
        seen = []
        for outcome in executor.outcomes():
            seen.append(outcome.value)
            if outcome.value < 100:
                executor.submit(Task(str(outcome.value), synthetic.double, outcome.value))
        assert seen == [2, 4, 8, 16, 32, 64, 128]

    def test_pending_counts_down(self, executor: Executor) -> None:
        for number in range(5):
            executor.submit(Task(str(number), synthetic.double, number))
        assert executor.pending == 5
        assert [executor.pending for _ in executor.outcomes()] == [4, 3, 2, 1, 0]

    def test_a_failure_disturbs_no_other(self, executor: Executor) -> None:
        executor.submit(Task("own", synthetic.raise_own, "no"))
        executor.submit(Task("fine", synthetic.double, 4))
        executor.submit(Task("foreign", synthetic.raise_foreign, "lost"))
        executor.submit(Task("left", synthetic.leave, 1))
        found = {outcome.key: outcome for outcome in executor.outcomes()}
        assert found["fine"].value == 8
        own, foreign, left = (found[key].failure for key in ("own", "foreign", "left"))
        assert own is not None
        assert isinstance(own.error, RecipeError)
        assert own.error.hint == "do so"
        assert foreign is not None
        assert "raise KeyError(message)" in foreign.traceback
        assert left is not None
        assert left.kind == "SystemExit"

    def test_cancelled_tasks_have_no_outcome(self, executor: Executor) -> None:
        for number in range(8):
            executor.submit(Task(str(number), synthetic.nap, 0.05))
        assert next(executor.outcomes()).value == 0.05
        executor.cancel()
        assert executor.pending == 0
        assert self.run(executor, synthetic.double, 21)["0"].value == 42

    def test_values_are_bit_equal_everywhere(self, executor: Executor) -> None:
        payloads = [(b"model", (seed, seed + 1), 0.0) for seed in range(6)]
        found = self.run(executor, synthetic.play, *payloads)
        assert [found[str(i)].value for i in range(6)] == [synthetic.play(payload) for payload in payloads]


class TestDebugExecutor(ExecutorConformance):
    make = staticmethod(DebugExecutor)


class TestAskingExecutor(ExecutorConformance):
    make = staticmethod(lambda: AskingExecutor(DebugExecutor(), 1))


class TestOneProcess(ExecutorConformance):
    make = staticmethod(lambda: LocalExecutor(1))


class TestManyProcesses(ExecutorConformance):
    make = staticmethod(lambda: LocalExecutor(3))
