"""Under which runtimes the finalists of a search are measured, and what is told where one cannot be had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import numpy as np
import pytest

from policypress.engine.cells.cell import Cell
from policypress.engine.events import ignore
from policypress.engine.outcome import RunOutcome
from policypress.engine.store.store import Store
from policypress.engine.tasks.costs import CostRequest
from policypress.engine.tasks.task import Failure
from policypress.measurement.costs.measuring import CostProtocol
from policypress.records import EvaluationProtocol
from policypress.search import finalists
from policypress.search.finalists import MOST_MEASURED, measure_finalists
from policypress.search.history import CandidateResult, SearchHistory, Stage
from policypress.search.objective import QUICK
from policypress.search.session import Session
from policypress_runtime.errors import ExecutionError, NativeBuildError

STAGES: tuple[Stage, ...] = ("built", "raced", "promising", "certified", "not certified", "raced", "raced", "raced")
Measured = dict[str, tuple[str, ...]]
protocols: list[CostProtocol] = []


def history(ending: Any = "certified") -> SearchHistory:
    tried = tuple(CandidateResult(f"r{index}", stage, "", 1.0, 10) for index, stage in enumerate(STAGES))
    return SearchHistory(0.95, 0.95, "size", ending, "", "r3", tried, (), False, 1.0, 10, 10, 1.0)


def cell(recipe: str) -> Cell:
    kind = "baseline" if recipe == "none" else "variant"
    return Cell(cast(Any, kind), EvaluationProtocol(0), None, "agent", recipe, recipe)


CELLS = {recipe: cell(recipe) for recipe in ("none", *(f"r{index}" for index in range(len(STAGES))))}


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[Measured, tuple[str, ...]]]:
    """Runs the stage on artifacts that are not looked at: recipe → runtimes, and what is told."""

    def run(
        runtime: Any = "native",
        fails: str = "",
        stop: BaseException | None = None,
        ending: str = "certified",
        left_s: float = 1e9,
    ) -> tuple[Measured, tuple[str, ...]]:
        asked: Measured = {}

        def proven(model: bytes, name: str, observations: Any) -> None:
            if model.decode() == fails:
                raise NativeBuildError("It has no C form.", got="a loop")

        def costs(wanted: dict[Cell, tuple[str, ...]], request: CostRequest) -> RunOutcome:
            if isinstance(stop, KeyboardInterrupt):
                return RunOutcome((), (), tuple(wanted), interrupted=True)
            if stop is not None:
                return RunOutcome((), tuple((cell, Failure.of(stop)) for cell in wanted), ())
            asked.update({cell.recipe: names for cell, names in wanted.items()})
            protocols.append(request.protocol)
            return RunOutcome(tuple(wanted), (), ())

        monkeypatch.setattr(finalists, "proven", proven)
        monkeypatch.setattr(finalists, "slowness", lambda: 1.0)
        protocols.clear()
        for recipe in CELLS:
            (tmp_path / recipe).write_text(recipe)
        by_key = {c.key: c for c in CELLS.values()}
        session = Mock(spec=Session)
        session.store, session.on_event, session.measure = Mock(spec=Store), ignore, costs
        session.store.folder = tmp_path
        session.store.cell = lambda key: SimpleNamespace(cell=by_key[key])
        session.store.artifact = lambda key: SimpleNamespace(path=by_key[key].recipe)
        session.cells = {recipe: [c.key] for recipe, c in CELLS.items()}
        session.materials = SimpleNamespace(parity=np.zeros((1, 1), np.float32))
        told = measure_finalists(session, history(ending), runtime, CostRequest(), left_s)
        return asked, told

    return run


def test_baseline_and_winner_under_both_the_others_natively(measure: Any) -> None:
    asked, told = measure()
    assert list(asked) == ["none", "r3", "r4", "r2", "r1", "r5"]
    assert len(asked) == MOST_MEASURED
    assert asked.pop("none") == asked.pop("r3") == ("native", "onnxruntime")
    assert set(asked.values()) == {("native",)}
    assert told == ()


def test_a_runtime_that_was_asked_for_is_the_only_one(measure: Any) -> None:
    asked, told = measure("onnxruntime")
    assert set(asked.values()) == {("onnxruntime",)}
    assert told == ()


def test_where_one_has_no_native_form_all_are_compared_under_onnx_runtime(measure: Any) -> None:
    asked, (told,) = measure(fails="r2")
    assert set(asked.values()) == {("onnxruntime",)}
    assert "r2 has no native build" in told
    assert "a loop" in told


@pytest.mark.parametrize(
    ("stop", "said"), [(ExecutionError("A process died."), "A process died"), (KeyboardInterrupt(), "interrupted")]
)
def test_costs_that_cannot_be_measured_do_not_undo_the_search(stop: BaseException, said: str, measure: Any) -> None:
    asked, (told,) = measure(stop=stop)
    assert asked == {}
    assert said in told


def test_an_interrupted_search_measures_nothing(measure: Any) -> None:
    assert measure(ending="interrupted") == ({}, ())


def test_what_the_time_does_not_allow_is_not_measured(measure: Any) -> None:
    assert len(measure(left_s=60.0)[0]) == MOST_MEASURED
    assert protocols == [CostProtocol()]
    asked, told = measure(left_s=40.0)
    assert (list(asked), protocols, told) == (["none", "r3"], [CostProtocol()], ())
    asked, told = measure(left_s=20.0)
    assert (list(asked), protocols, told) == (["none", "r3"], [QUICK], ())
    asked, (told,) = measure(left_s=5.0)
    assert asked == {}
    assert "larger --budget-minutes" in told


def test_a_search_without_candidates_measures_the_baseline() -> None:
    assert finalists.finalists(replace(history(), tried=())) == ["none"]
