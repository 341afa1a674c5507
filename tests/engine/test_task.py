from __future__ import annotations

import functools
import pickle

import pytest
import synthetic_study as synthetic

from policypress.engine.tasks.task import Failure, Outcome, Task, perform
from policypress_runtime.errors import ExecutionError, RecipeError


def test_a_result_is_the_outcomes_value() -> None:
    assert perform(Task("a", synthetic.double, 2.5)) == Outcome("a", 5.0)


def test_an_own_error_stays_whole_through_a_pipe() -> None:
    failure = pickle.loads(pickle.dumps(perform(Task("a", synthetic.raise_own, "no")))).failure
    assert isinstance(failure, Failure)
    assert failure.kind == "RecipeError"
    assert "raise_own" in failure.traceback
    assert isinstance(failure.exception(), RecipeError)
    assert (
        str(failure.exception()) == failure.message == str(RecipeError("no", got="this", expected="that", hint="do so"))
    )


def test_a_foreign_error_is_kept_in_words() -> None:
    failure = perform(Task("a", synthetic.raise_foreign, "lost")).failure
    assert failure is not None
    assert failure.error is None
    assert (failure.kind, failure.message) == ("KeyError", "'lost'")
    assert isinstance(failure.exception(), ExecutionError)
    assert "KeyError: 'lost'" in str(failure.exception())


def test_leaving_the_interpreter_is_a_failure_of_the_task() -> None:
    failure = perform(Task("a", synthetic.leave, 3)).failure
    assert failure is not None
    assert failure.kind == "SystemExit"


def test_an_error_without_words_is_named() -> None:
    assert Failure.of(ValueError()).message == "ValueError"


@pytest.mark.parametrize("function", [lambda payload: payload, functools.partial(synthetic.double, 2)])
def test_only_importable_functions_are_tasks(function: object) -> None:
    with pytest.raises(TypeError, match="can import"):
        Task("a", function, None)  # type: ignore[arg-type]
