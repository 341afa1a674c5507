"""Cost cells of a whole study: planned, measured together, resumed, retried, and left where they cannot be measured."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_study import ROOT, small_study, study_file

from policypress.engine.cells.cell import Cell
from policypress.engine.executors.debug_executor import DebugExecutor
from policypress.engine.outcome import NEEDED_FAILED, RunOutcome
from policypress.engine.store.reader import StoreReader
from policypress.engine.store.store import Store
from policypress.engine.tasks import costs as cost_tasks
from policypress.engine.tasks.prepared_agent import place_of
from policypress.engine.tasks.task import Failure
from policypress.measurement.costs.energy import modelled
from policypress.measurement.costs.measuring import CostProtocol
from policypress.records import Measurement
from policypress.study.status import study_status
from policypress.study.whole_study import Study, open_study, run_whole_study
from policypress_runtime.errors import NoNativeFormError, StudyInputError

GIVEN = {"files": [str(ROOT / "examples" / "agents" / "dqn-CartPole-v1.zip")]}
COSTS = {"runtimes": ["onnxruntime", "native"], "windows": 2}


class Machine:
    """Stands in for the measuring itself: every number is that of the run."""

    def __init__(self) -> None:
        self.runs: list[list[str]] = []
        self.protocols: list[CostProtocol] = []
        self.without_native: set[str] = set()

    def proven(self, model: bytes, runtime: str, observations: object) -> object:
        assert model
        if runtime in self.without_native:
            raise NoNativeFormError("There is no C for an operator.", got="Erf")
        return object()

    def measure_costs(
        self, files: Mapping[str, Path], protocol: CostProtocol, runtimes: Mapping[str, str], **options: Any
    ) -> dict[str, tuple[Measurement, ...]]:
        assert all(path.read_bytes() for path in files.values())
        self.runs.append(list(files))
        self.protocols.append(protocol)

        def rows(runtime: str) -> tuple[Measurement, ...]:
            cpu = Measurement("cpu_per_action", "s", (float(len(self.runs)),), {"runtime": runtime}, {"cpu": "c"})
            return replace(cpu, quantity="latency"), cpu, modelled(cpu, options["watts_per_core"], {"rapl": "none"})

        return {key: rows(runtimes[key]) for key in files}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    stand_in = Machine()
    monkeypatch.setattr(cost_tasks, "measure_costs", stand_in.measure_costs)
    monkeypatch.setattr(cost_tasks, "proven", stand_in.proven)
    return stand_in


def given_study(folder: Path, **changes: object) -> Study:
    settings: dict[str, object] = {
        "agents": [{**GIVEN, "recipes": ["equalize > int8"]}],
        "evaluation": {"episodes": 2, "runtimes": "onnxruntime"},
        "costs": COSTS,
        **changes,
    }
    return small_study(folder, **settings)


def run(study: Study, **options: Any) -> RunOutcome:
    return run_whole_study(study, DebugExecutor(), **options)


def rows_of(study: Study, cell: Cell) -> tuple[Measurement, ...]:
    with StoreReader(study.store) as store:
        return store.measurements(cell.key)


def test_each_artifact_has_a_cost_cell_for_each_runtime_and_no_other_cell_changes(tmp_path: Path) -> None:
    with_costs, without = given_study(tmp_path).plan, given_study(tmp_path, costs=False).plan
    assert with_costs.result_cells == without.cells
    assert with_costs.cells == (*with_costs.result_cells, *with_costs.cost_cells)
    assert {(cell.recipe, cell.protocol.runtime) for cell in with_costs.cost_cells} == {
        (recipe, runtime) for recipe in ("none", "equalize > int8") for runtime in ("onnxruntime", "native")
    }
    makers = {with_costs.needs[cell.key] for cell in with_costs.cost_cells}
    assert makers == {cell.key for cell in without.cells if cell.kind in ("baseline", "variant")}


def test_costs_follow_the_evaluations_runtimes_where_they_name_none(tmp_path: Path) -> None:
    evaluation = {"episodes": 2, "runtimes": ["onnxruntime", "native"]}
    plan = given_study(tmp_path, costs=True, evaluation=evaluation).plan
    for cost in plan.cost_cells:
        maker = next(cell for cell in plan.cells if cell.key == plan.needs[cost.key])
        assert maker.protocol.runtime == cost.protocol.runtime
    assert len(plan.cost_cells) == 4


def test_how_much_is_measured_is_part_of_the_identity_and_seeds_choose_agents(tmp_path: Path) -> None:
    first, more = given_study(tmp_path).plan, given_study(tmp_path, costs={**COSTS, "windows": 3}).plan
    assert not {cell.key for cell in first.cost_cells} & {cell.key for cell in more.cost_cells}
    study = small_study(tmp_path, costs={"seeds": "1..2"})
    measured = {cell.agent_sha256 for cell in study.plan.cost_cells}
    trained = [agent for agent in study.plan.agents.values() if agent.training is not None]
    assert [agent.identity in measured for agent in trained] == [agent.training["seed"] == 1 for agent in trained]
    assert len(measured) == 2


def test_costs_are_measured_together_after_the_returns(tmp_path: Path, machine: Machine) -> None:
    study = given_study(tmp_path)
    outcome = run(study)
    assert outcome.done == study.plan.cells
    assert machine.runs == [[cell.key for cell in study.plan.cost_cells]]
    assert machine.protocols[0].windows == 2
    lengths = {}
    with StoreReader(study.store) as store:
        for cell in study.plan.cost_cells:
            played = store.episodes(study.plan.needs[cell.key])
            lengths[cell.key] = sum(episode.length for episode in played) / len(played)
    for cell in study.plan.cost_cells:
        rows = {row.quantity: row for row in rows_of(study, cell)}
        assert set(rows) == {"latency", "cpu_per_action", "cpu_per_episode", "energy_per_action", "energy_per_episode"}
        assert {row.protocol["runtime"] for row in rows.values()} == {cell.protocol.runtime}
        assert all(row.protocol["others_busy_cores"] >= 0 and row.protocol["run"] for row in rows.values())
        assert rows["cpu_per_episode"].samples == (lengths[cell.key],)
        ratio = rows["energy_per_episode"].samples[0] / rows["energy_per_action"].samples[0]
        assert ratio == pytest.approx(lengths[cell.key])
    run(study)
    assert len(machine.runs) == 1


def test_returns_now_and_costs_later(tmp_path: Path, machine: Machine) -> None:
    study = given_study(tmp_path)
    outcome = run(study, part="costs")
    assert (outcome.done, outcome.left) == ((), study.plan.cost_cells)
    outcome = run(study, part="returns")
    assert outcome.done == study.plan.result_cells
    assert machine.runs == []
    told = study_status(study)
    assert told.counts == {"done": 4, "running": 0, "failed": 0, "pending": 4}
    assert {row.name: row.left for row in told.rows if row.left} == {"costs, ONNX Runtime": 2, "costs, native": 2}
    assert study.left().costs_s > 0
    outcome = run(study, part="costs")
    assert outcome.done == study.plan.cells
    assert [notice for notice in outcome.notices if "left" in notice] == []
    assert study.left().cells == 0


def test_costs_of_agents_that_are_not_finished_wait(tmp_path: Path, machine: Machine) -> None:
    study = given_study(tmp_path)
    run(study, part="returns")
    with Store(study.store) as store:
        store.reopen(study.plan.result_cells[-1].key)
    outcome = run(study, part="costs")
    assert outcome.left == study.plan.cost_cells
    assert "costs of 1 agents were not measured" in outcome.notices[-1]
    run(study)
    assert len(machine.runs) == 1


def test_a_study_without_costs_has_none_to_measure(tmp_path: Path) -> None:
    with pytest.raises(StudyInputError, match="does not measure costs"):
        run(given_study(tmp_path, costs=False), part="costs")


def test_what_cannot_be_built_fails_alone_and_a_retry_measures_all_together(tmp_path: Path, machine: Machine) -> None:
    study = given_study(tmp_path)
    machine.without_native = {"native"}
    outcome = run(study)
    assert [cell.protocol.runtime for cell, _ in outcome.failed] == ["native", "native"]
    assert outcome.failed[0][1].kind == "NoNativeFormError"
    assert "costs of none under native: There is no C" in study_status(study).failures[0]
    run(study)
    assert len(machine.runs) == 1
    machine.without_native = set()
    outcome = run(study, retry_failed=True)
    assert not outcome.failed
    assert len(machine.runs[1]) == 4
    assert {row.samples for cell in study.plan.cost_cells for row in rows_of(study, cell)[:1]} == {(2.0,)}


def test_a_measurement_that_breaks_fails_the_agents_costs_and_no_others(
    tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [str(ROOT / "examples" / "agents" / "sac-HalfCheetah-v4.zip")]
    agents = [{**GIVEN, "recipes": ["none"]}, {"files": others, "recipes": ["none"]}]
    study = given_study(tmp_path, agents=agents, evaluation={"episodes": 1, "runtimes": "onnxruntime"})
    plain = machine.measure_costs

    def broken(files: Mapping[str, Path], *arguments: Any, **options: Any) -> Any:
        if not machine.runs:
            machine.runs.append([])
            raise ValueError("the meter fell off")
        return plain(files, *arguments, **options)

    monkeypatch.setattr(cost_tasks, "measure_costs", broken)
    outcome = run(study)
    assert {failure.message for _, failure in outcome.failed} == {"the meter fell off"}
    assert len(outcome.failed) == 2
    assert len([cell for cell in outcome.done if cell.kind == "cost"]) == 2


def test_costs_of_what_failed_fail_with_that_reason_until_it_is_mended(tmp_path: Path, machine: Machine) -> None:
    study = given_study(tmp_path)
    run(study, part="returns")
    variant = study.plan.result_cells[-1]
    with Store(study.store) as store:
        store.fail(variant.key, Failure("RecipeError", "It does not work."))
    outcome = run(study)
    costs = [(cell.recipe, failure.kind) for cell, failure in outcome.failed if cell.kind == "cost"]
    assert costs == [("equalize > int8", NEEDED_FAILED)] * 2
    assert len(machine.runs[0]) == 2
    run(study, part="returns", retry_failed=True)
    outcome = run(study)
    assert not outcome.failed
    assert len(machine.runs[1]) == 4


def test_interrupted_it_goes_on_with_the_next_agent(tmp_path: Path, machine: Machine) -> None:
    study = small_study(tmp_path, costs={"windows": 1}, evaluation={"episodes": 1, "runtimes": "onnxruntime"})
    run(study, part="returns")
    plain = machine.measure_costs
    stop_at = 2

    def stopping(*arguments: Any, **options: Any) -> Any:
        if len(machine.runs) == stop_at:
            raise KeyboardInterrupt
        return plain(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cost_tasks, "measure_costs", stopping)
        outcome = run(study)
        assert outcome.interrupted
        assert len({cell.agent_sha256 for cell in outcome.left}) == 1
    outcome = run(study)
    assert not outcome.left
    assert len(machine.runs) == 3
    assert sorted(key for keys in machine.runs for key in keys) == sorted(cell.key for cell in study.plan.cost_cells)


def test_artifacts_that_are_gone_are_made_again_but_no_training_is(tmp_path: Path, machine: Machine) -> None:
    path = study_file(tmp_path, costs={"windows": 1}, evaluation={"episodes": 1, "runtimes": "onnxruntime"})
    study = open_study(path, tmp_path / "results")
    run(study, part="returns")
    with StoreReader(study.store) as store:
        played = {cell.key: store.episodes(cell.key) for cell in study.plan.cells}
    shutil.rmtree(study.folder / "artifacts")
    lost = next(agent.identity for agent in study.plan.agents.values() if agent.training is not None)
    shutil.rmtree(place_of(study.folder, lost))
    outcome = run(study, part="costs")
    assert "costs of 1 agents were not measured: the agents are gone" in outcome.notices[0]
    assert {cell.agent_sha256 for cell in outcome.left} == {lost}
    assert {cell.kind for cell in outcome.left} == {"cost"}
    assert len(machine.runs) == 2
    with StoreReader(study.store) as store:
        assert {cell.key: store.episodes(cell.key) for cell in study.plan.cells} == played
