"""What plays episodes is kept and asked for; everything else is done as ever."""

from __future__ import annotations

from typing import Any

import pytest
import synthetic_study as synthetic

from policypress.engine.executors.asking_executor import AskingExecutor
from policypress.engine.executors.debug_executor import DebugExecutor
from policypress.engine.tasks.builds import EpisodesPayload, play
from policypress.engine.tasks.task import Task


def nothing_to_play() -> Any:
    raise AssertionError("episodes are played elsewhere")


def episodes(name: str, *seeds: int) -> Task:
    return Task(name, play, EpisodesPayload(b"", nothing_to_play, seeds, None))


def test_a_run_ends_as_an_interrupted_one_when_nothing_else_is_left() -> None:
    with AskingExecutor(DebugExecutor(), 8) as executor:
        assert executor.capacity == 8
        executor.submit(episodes("first", 1, 2))
        executor.submit(Task("built", synthetic.double, 4))
        executor.submit(episodes("second", 3))
        done = []
        with pytest.raises(KeyboardInterrupt):
            done += [outcome.value for outcome in executor.outcomes()]
        executor.cancel()
        assert [(key, payload.seeds) for key, payload in executor.asked] == [("first", (1, 2)), ("second", (3,))]


def test_the_next_run_asks_for_its_own_alone() -> None:
    with AskingExecutor(DebugExecutor(), 2) as executor:
        executor.submit(episodes("first", 1))
        with pytest.raises(KeyboardInterrupt):
            list(executor.outcomes())
        executor.submit(Task("built", synthetic.double, 4))
        assert [outcome.value for outcome in executor.outcomes()] == [8]
        assert executor.asked == ()
        executor.submit(episodes("second", 2))
        with pytest.raises(KeyboardInterrupt):
            list(executor.outcomes())
        assert [key for key, _ in executor.asked] == ["second"]


def test_what_ctrl_c_ended_asks_for_nothing() -> None:
    with AskingExecutor(DebugExecutor(), 2) as executor:
        executor.submit(episodes("first", 1))
        executor.submit(Task("built", synthetic.double, 4))
        next(executor.outcomes())
        executor.cancel()
        assert executor.asked == ()
        assert list(executor.outcomes()) == []
