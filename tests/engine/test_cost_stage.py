"""The cost stage on artifacts that a synthetic study "built": what is measured, kept, and measured again."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import synthetic_study as synthetic
from synthetic_study import baseline, random_policy, variant

from policypress.engine import cost_stage
from policypress.engine.cell import Cell
from policypress.engine.cost_stage import measure_cell_costs
from policypress.engine.progress import Silent
from policypress.engine.store.store import Store
from policypress.errors import StudyInputError
from policypress.measurement import costs
from policypress.measurement.costs import CostProtocol
from policypress.records import EpisodeRecord, Measurement
from policypress.runtime.protocol import RuntimeName

QUANTITIES = ["latency", "latency", "peak_rss", "cpu_per_action", "energy_per_action"]
CELLS = [random_policy(2), baseline(2), variant("ptdq", 2)]


class Machine:
    """Stands in for the measuring itself: rows that tell the number of the run."""

    def __init__(self) -> None:
        self.runs: list[list[str]] = []
        self.stop = False
        self.runtimes: dict[str, str] = {}

    def measure_costs(
        self, artifacts: dict[str, Path], protocol: CostProtocol | None, runtimes: dict[str, str], **options: Any
    ) -> dict[str, tuple[Measurement, ...]]:
        if self.stop:
            raise KeyboardInterrupt
        assert all(path.is_file() for path in artifacts.values())
        self.runs.append(list(artifacts))
        self.runtimes = runtimes
        options["on_step"](1, 1)
        number = float(len(self.runs))

        def row(quantity: str, **said: Any) -> Measurement:
            return Measurement(quantity, "s", (number, number), said, {"cpu": "c"})

        cpu = row("cpu_per_action")
        model = costs.energy.modelled(cpu, options["watts_per_core"], {"rapl": "none here"})
        rows = (row("latency", cache="warm"), row("latency", cache="cold"), row("peak_rss"), cpu, model)
        return dict.fromkeys(artifacts, rows)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    stand_in = Machine()
    monkeypatch.setattr(cost_stage, "measure_costs", stand_in.measure_costs)
    return stand_in


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "study.db") as opened:
        for cell in CELLS:
            finish(opened, cell)
        yield opened


def finish(store: Store, cell: Cell, content: bytes = b"model") -> None:
    """Bring an artifact and two episodes, of 10 and 30 steps, into the store."""
    store.plan([cell])
    if cell.kind != "random":
        record = synthetic.build((cell.recipe, 0.0)).record
        record = replace(record, path=f"{cell.key[:8]}.onnx", sha256=hashlib.sha256(content).hexdigest())
        (store.folder / record.path).write_bytes(content)
        store.record_artifact(cell.key, record, {})
    if not store.episodes(cell.key):
        store.record_episodes(
            cell.key, [EpisodeRecord(s, 1.0, n, "truncated", 0.1) for s, n in ((1, 10), (2, 30))], done=True
        )


def measure(store: Store, cells: list[Cell] = CELLS, watts: float | None = None) -> None:
    measure_cell_costs(store, cells, 0, watts, Silent())


def quantities(store: Store, cell: Cell) -> list[str]:
    return [row.quantity for row in store.measurements(cell.key)]


def test_every_artifact_has_its_costs_and_the_random_policy_none(machine: Machine, store: Store) -> None:
    measure(store)
    assert quantities(store, CELLS[0]) == []
    for cell in CELLS[1:]:
        assert quantities(store, cell) == [*QUANTITIES, "energy_per_episode"]
        action, episode = store.measurements(cell.key)[-2:]
        assert (action.source, episode.source) == ("modelled", "modelled")
        assert episode.samples == pytest.approx([20 * value for value in action.samples])
        assert episode.protocol["mean_episode_length"] == 20.0
    protocols = [row.protocol for cell in CELLS[1:] for row in store.measurements(cell.key)]
    assert len({said["run"] for said in protocols}) == 1
    assert {said["artifact_sha256"] for said in protocols} == {hashlib.sha256(b"model").hexdigest()}


def test_what_is_complete_is_kept(machine: Machine, store: Store) -> None:
    measure(store)
    measure(store)
    measure(store, CELLS[:2])
    assert len(machine.runs) == 1


def test_one_more_artifact_and_all_are_measured_again_together(machine: Machine, store: Store) -> None:
    measure(store)
    more = variant("ptsq", 2)
    finish(store, more)
    measure(store, [*CELLS, more])
    assert machine.runs[1] == [f"{cell.key} onnxruntime" for cell in (*CELLS[1:], more)]
    for cell in (*CELLS[1:], more):
        assert quantities(store, cell) == [*QUANTITIES, "energy_per_episode"]
        assert {row.samples[0] for row in store.measurements(cell.key, "latency")} == {2.0}


def test_artifacts_of_different_runs_are_measured_again_together(machine: Machine, store: Store) -> None:
    measure(store, CELLS[:2])
    measure(store, CELLS[2:])
    assert len(machine.runs) == 2
    measure(store)
    assert machine.runs[2] == [f"{cell.key} onnxruntime" for cell in CELLS[1:]]


def test_an_artifact_that_came_out_different_is_measured_again(machine: Machine, store: Store) -> None:
    measure(store)
    finish(store, CELLS[2], b"another model")
    measure(store)
    assert len(machine.runs) == 2


def test_interrupted_it_stores_nothing_and_the_next_call_does_it(machine: Machine, store: Store) -> None:
    machine.stop = True
    with pytest.raises(KeyboardInterrupt):
        measure(store)
    assert quantities(store, CELLS[1]) == []
    machine.stop = False
    measure(store)
    assert quantities(store, CELLS[1])


def test_other_watts_change_the_model_without_measuring(machine: Machine, store: Store) -> None:
    measure(store)
    measure(store, watts=24.0)
    assert len(machine.runs) == 1
    for cell in CELLS[1:]:
        assert sorted(quantities(store, cell)) == sorted([*QUANTITIES, "energy_per_episode"])
        (action,) = store.measurements(cell.key, "energy_per_action")
        (episode,) = store.measurements(cell.key, "energy_per_episode")
        assert (action.samples[0], episode.samples[0]) == (24.0, 480.0)
        assert action.protocol["not_measured"] == {"rapl": "none here"}
    measure(store)
    assert store.measurements(CELLS[1].key, "energy_per_action")[0].samples[0] == 24.0
    assert len(machine.runs) == 1
    with pytest.raises(StudyInputError):
        measure(store, watts=0.0)


def test_without_episodes_there_is_no_energy_of_an_episode(machine: Machine, tmp_path: Path) -> None:
    cell = baseline(2)
    with Store(tmp_path / "other" / "study.db") as store:
        store.plan([cell])
        record = replace(synthetic.build(("none", 0.0)).record, path="a.onnx")
        shutil.copy(__file__, store.folder / "a.onnx")
        store.record_artifact(cell.key, record, {})
        measure(store, [cell])
        assert quantities(store, cell) == QUANTITIES


def test_costs_are_those_of_the_runtime_that_plays(store: Store, machine: Machine) -> None:
    """And they are measured again where another one plays now."""
    measure_cell_costs(store, CELLS, 0, None, Silent())
    assert set(machine.runtimes.values()) == {"onnxruntime"}
    for cell in CELLS[1:]:
        record = store.artifact(cell.key)
        assert record is not None
        store.record_artifact(cell.key, replace(record, runtime="native"), {})
    measure_cell_costs(store, CELLS, 0, None, Silent())
    assert set(machine.runtimes.values()) == {"native"}
    assert len(machine.runs) == 2
    assert {row.protocol["runtime"] for row in store.measurements(CELLS[1].key)} == {"native"}


def test_one_cell_under_two_runtimes_and_the_other_under_one(store: Store, machine: Machine) -> None:
    asked: dict[str, tuple[RuntimeName, ...]] = {CELLS[1].key: ("native", "onnxruntime"), CELLS[2].key: ("native",)}

    def again(watts: float | None = None) -> None:
        measure_cell_costs(store, CELLS, 0, watts, Silent(), runtimes=asked)

    again()
    found = {cell.key: [row.protocol["runtime"] for row in store.measurements(cell.key)] for cell in CELLS[1:]}
    each = len(QUANTITIES) + 1
    assert found == {CELLS[1].key: ["native"] * each + ["onnxruntime"] * each, CELLS[2].key: ["native"] * each}
    again()
    assert len(machine.runs) == 1
    again(watts=24.0)
    assert len(machine.runs) == 1
    joules = store.measurements(CELLS[1].key, "energy_per_action")
    assert [(row.protocol["runtime"], row.protocol["watts_per_core"]) for row in joules] == [
        ("native", 24.0),
        ("onnxruntime", 24.0),
    ]
    asked[CELLS[2].key] = ("native", "onnxruntime")
    again()
    assert len(machine.runs) == 2
