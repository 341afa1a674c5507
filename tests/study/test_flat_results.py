"""One row for each cell that has ended, with what its tables say."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, stdev

import pytest
from synthetic_study import AGENT, ENVIRONMENT, SyntheticWorker, baseline, grid, variant

from policypress.engine.cells.cell import Cell
from policypress.engine.executors.debug_executor import DebugExecutor
from policypress.engine.plan import Plan
from policypress.engine.scheduler import run_cells
from policypress.engine.store.reader import AgentRow
from policypress.engine.store.store import Store
from policypress.records import EvaluationProtocol, Measurement
from policypress.study.flat_results import FlatResult, flat_results

COST = Cell("cost", EvaluationProtocol(0, runtime="native"), ENVIRONMENT, AGENT, "ptdq", "hash of ptdq")
SPEC = {"label": "sparse", "spec": {"seed": 3, "steps": 1000, "sparse": {"alpha": 4}}}


def measurement(quantity: str, *samples: float, **protocol: object) -> Measurement:
    source = "modelled" if quantity.startswith("energy") else "measured"
    return Measurement(quantity, "s", samples, {"others_busy_cores": 0.25, **protocol}, {"cpu": "c"}, source)


def fill(path: Path) -> Store:
    """A small study that is done, with a failed cell, one that is left, and costs."""
    store = Store(path)
    store.add_agent(AgentRow(AGENT, "trained by the study", "ppo", ENVIRONMENT, training=SPEC))
    run_cells(Plan(tuple([*grid(2), variant("broken")])), SyntheticWorker(), store, DebugExecutor())
    store.plan([COST, variant("left")])
    rows = [
        measurement("latency", 3.0, 1.0, 2.0, cache="warm"),
        measurement("latency", 9.0, cache="cold"),
        measurement("peak_rss", 1000.0),
        measurement("cpu_per_action", 0.5),
        measurement("energy_per_action", 5.0),
        measurement("energy_per_episode", 50.0),
    ]
    store.record_costs({COST.key: rows}, {})
    return store


def test_every_ended_cell_has_its_row(tmp_path: Path) -> None:
    with fill(tmp_path / "study.db") as store:
        found = {result.cell_key: result for result in flat_results(store)}
        played = store.episodes(baseline().key)
    assert len(found) == len(grid(2)) + 2
    base = found[baseline().key]
    assert (base.algorithm, base.environment, base.label, base.trained) == ("ppo", "Synthetic-v0", "sparse", "sparse")
    assert (base.training_seed, base.training_steps, base.runtime) == (3, 1000, "onnxruntime")
    returns = [episode.episode_return for episode in played]
    assert base.episodes == 12
    assert base.return_mean == pytest.approx(fmean(returns))
    assert base.return_std == pytest.approx(stdev(returns))
    assert base.packed_bytes is not None
    assert base.latency_warm_s is None


def test_costs_are_medians_and_say_how_they_were_found(tmp_path: Path) -> None:
    with fill(tmp_path / "study.db") as store:
        cost = next(result for result in flat_results(store) if result.kind == "cost")
    assert (cost.recipe, cost.runtime, cost.latency_warm_s, cost.latency_cold_s) == ("ptdq", "native", 2.0, 9.0)
    assert (cost.peak_rss_bytes, cost.cpu_per_action_s, cost.cpu_per_episode_s) == (1000.0, 0.5, None)
    assert (cost.energy_per_action_j, cost.energy_per_episode_j, cost.energy_source) == (5.0, 50.0, "modelled")
    assert cost.others_busy_cores == 0.25
    assert cost.episodes is None


def test_what_failed_says_why_and_random_actions_have_no_agent(tmp_path: Path) -> None:
    with fill(tmp_path / "study.db") as store:
        results = {(result.kind, result.recipe): result for result in flat_results(store)}
    broken, actions = results["variant", "broken"], results["random", "none"]
    assert broken.status == "failed"
    assert "cannot be done" in str(broken.error)
    assert (actions.algorithm, actions.runtime, actions.episodes) == (None, None, 12)
    assert ("variant", "left") not in results
    assert all(isinstance(result, FlatResult) for result in results.values())
