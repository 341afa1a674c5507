from __future__ import annotations

import pickle

import pytest
import synthetic_study as synthetic

from policypress.engine.executors.worker_process import answer
from policypress.engine.tasks.task import Outcome, Task


def ask(message: object) -> Outcome:
    outcome = pickle.loads(answer(bytes(pickle.dumps(message))))
    assert isinstance(outcome, Outcome)
    return outcome


def test_a_task_is_answered_with_its_outcome() -> None:
    assert ask(Task("a", synthetic.double, 4.0)) == Outcome("a", 8.0)


@pytest.mark.parametrize("message", ["no task", None, Task("a", synthetic.unpicklable, 1)])
def test_what_cannot_be_done_or_sent_is_a_failure(message: object) -> None:
    assert ask(message).failure is not None


def test_a_damaged_message_is_a_failure() -> None:
    outcome = pickle.loads(answer(b"\x80\x05broken"))
    assert outcome.failure is not None
