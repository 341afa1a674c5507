from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import synthetic_study as synthetic
from hypothesis import given
from hypothesis import strategies as st
from synthetic_study import SyntheticWorker, baseline, grid, random_policy, variant

from policypress.engine.artifact_files import BuiltArtifact
from policypress.engine.cells.cell import Cell
from policypress.engine.events import (
    CellBuilt,
    CellFailed,
    CellFinished,
    CellStarted,
    EpisodesPlayed,
    Event,
    Planned,
    ignore,
)
from policypress.engine.executors.debug_executor import DebugExecutor
from policypress.engine.executors.executor import Executor
from policypress.engine.executors.local_executor import LocalExecutor
from policypress.engine.outcome import RunOutcome
from policypress.engine.plan import Plan
from policypress.engine.run_options import RunOptions
from policypress.engine.scheduler import run_cells
from policypress.engine.store.reader import StoreReader
from policypress.engine.store.store import Store
from policypress.engine.tasks.task import Task
from policypress.records import EpisodeRecord, EvaluationProtocol
from policypress_runtime.errors import ExecutionError, OutputError, RecipeError


def rows(path: Path) -> list[tuple[Any, ...]]:
    """All that a study says, without the times at which it was found."""
    with StoreReader(path) as store:
        return sorted(
            (row.key, row.status, row.failure and row.failure.message, store.artifact(row.key), store.episodes(row.key))
            for row in store.cells()
        )


def run(folder: Path, cells: list[Cell], executor: Executor | None = None, **options: Any) -> RunOutcome:
    worker = options.pop("worker", SyntheticWorker(log=folder / "tasks.log"))
    on_event = options.pop("on_event", ignore)
    with Store(folder / "study.db") as store:
        plan = Plan(tuple(cells), options.pop("needs", {}))
        return run_cells(plan, worker, store, executor or DebugExecutor(), on_event, RunOptions(**options))


def tasks(folder: Path) -> Counter[str]:
    log = folder / "tasks.log"
    return Counter(log.read_text().splitlines() if log.exists() else [])


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    folder = tmp_path_factory.mktemp("reference")
    assert run(folder, grid()) == RunOutcome(tuple(grid()), (), ())
    return rows(folder / "study.db")


@pytest.mark.parametrize("jobs", [1, 3])
def test_rows_are_bit_equal_under_every_executor(tmp_path: Path, reference: list, jobs: int) -> None:
    with LocalExecutor(jobs) as executor:
        assert len(run(tmp_path, grid(), executor).done) == len(grid())
    assert rows(tmp_path / "study.db") == reference


def test_a_cell_has_its_protocols_episodes_and_its_files(tmp_path: Path) -> None:
    run(tmp_path, grid())
    with StoreReader(tmp_path / "study.db") as store:
        for cell in grid():
            assert tuple(sorted(cell.seeds())) == tuple(episode.seed for episode in store.episodes(cell.key))
            record = store.artifact(cell.key)
            assert (record is None) == (cell.kind == "random")
            if record is not None:
                assert (tmp_path / record.path).stat().st_size == record.file_bytes
        packages = store.cells()[0].provenance[0]["packages"]
        assert packages["policypress"]


def test_equal_cells_are_one_and_a_finished_study_does_nothing(tmp_path: Path) -> None:
    run(tmp_path, [*grid(), *grid(), random_policy()])
    assert set(tasks(tmp_path).values()) == {1}
    first = tasks(tmp_path)
    assert run(tmp_path, grid()).done == tuple(grid())
    assert tasks(tmp_path) == first


def test_parts_are_the_same_whatever_was_played_before(tmp_path: Path) -> None:
    """Only what is missing is played, part by part of the whole list."""
    cell = baseline()
    seeds = cell.seeds()
    with Store(tmp_path / "study.db") as store:
        store.plan([cell])
        played = [EpisodeRecord(seed, 0.5, 1, "truncated", 0.1) for seed in seeds[5:11]]
        built = synthetic.build(("none", 0.0))
        run_cells(Plan((replace(cell, protocol=EvaluationProtocol(0)),)), SyntheticWorker(), store, DebugExecutor())
        store.record_artifact(cell.key, built.record, {})
        store.record_episodes(cell.key, played, done=False)
    run(tmp_path, [cell])
    parts = [line.split(" ", 1)[1] for line in tasks(tmp_path) if not line.endswith("build")]
    assert parts == [str(seeds[:5]), str(seeds[11:])]


def test_a_cell_without_episodes_is_built_only(tmp_path: Path) -> None:
    cell = Cell("baseline", EvaluationProtocol(0), agent_sha256=synthetic.AGENT)
    assert run(tmp_path, [cell]).done == (cell,)
    assert len(tasks(tmp_path)) == 1


def test_failed_cells_are_recorded_and_stop_no_other(tmp_path: Path) -> None:
    cells = [variant("broken"), *grid(), variant("crashes")]
    with LocalExecutor(2) as executor:
        outcome = run(tmp_path, cells, executor)
        assert outcome.done == tuple(grid())
        assert [cell for cell, _ in outcome.failed] == [variant("broken"), variant("crashes")]
        broken, crashes = (failure for _, failure in outcome.failed)
        assert isinstance(broken.exception(), RecipeError)
        assert crashes.kind == "ValueError"
        assert "the policy fell over" in crashes.message
        assert "in play" in crashes.traceback
        before = tasks(tmp_path)
        again = run(tmp_path, cells, executor)
    assert tasks(tmp_path) == before
    assert [(c, f.kind, f.message) for c, f in again.failed] == [(c, f.kind, f.message) for c, f in outcome.failed]


@dataclass
class Strange(SyntheticWorker):
    """Gives ``value`` for the build or the episodes of the variant ``strange``."""

    stage: str = ""
    value: Any = None

    def build(self, cell: Cell) -> Task | None:
        return self._strange(cell, "build") or super().build(cell)

    def episodes(self, cell: Cell, artifact: BuiltArtifact | None, seeds: tuple[int, ...]) -> Task:
        return self._strange(cell, "episodes") or super().episodes(cell, artifact, seeds)

    def _strange(self, cell: Cell, stage: str) -> Task | None:
        if (cell.recipe, stage) != ("strange", self.stage):
            return None
        if isinstance(self.value, Exception):
            raise self.value
        return Task(f"{stage} {cell.key}", synthetic.echo, self.value)


@pytest.mark.parametrize(
    ("stage", "value", "words"),
    [
        ("build", b"model", "gave no artifact"),
        ("build", BuiltArtifact(synthetic.build(("x", 0.0)).record, {}), "without its file"),
        ("build", RecipeError("cannot be planned"), "cannot be planned"),
        ("episodes", (), "other episodes"),
        ("episodes", None, "other episodes"),
        ("episodes", (EpisodeRecord(1, 0.0, 1, "truncated", 0.1),), "other episodes"),
        (
            "episodes",
            (EpisodeRecord(variant("strange", 1).seeds()[0], float("nan"), 1, "truncated", 0.1),),
            "not finite",
        ),
    ],
)
def test_a_strange_result_fails_its_cell_alone(tmp_path: Path, stage: str, value: Any, words: str) -> None:
    cells = [variant("strange", episodes=1), baseline()]
    outcome = run(tmp_path, cells, worker=Strange(stage=stage, value=value))
    assert outcome.done == (baseline(),)
    ((cell, failure),) = outcome.failed
    assert cell == cells[0]
    assert words in failure.message


def test_two_tasks_with_one_key_fail_their_cell(tmp_path: Path) -> None:
    worker = Strange(stage="episodes", value=())
    ((_, failure),) = run(tmp_path, [variant("strange", episodes=20)], worker=worker).failed
    assert isinstance(failure.exception(), ExecutionError)
    assert "Two tasks" in failure.message


def test_failed_cells_are_done_again_only_when_asked(tmp_path: Path) -> None:
    cells = [variant("strange"), baseline()]
    worker = Strange(stage="episodes", value=ValueError("not today"), log=tmp_path / "tasks.log")
    assert len(run(tmp_path, cells, worker=worker).failed) == 1
    assert len(run(tmp_path, cells).failed) == 1
    before = tasks(tmp_path)
    assert run(tmp_path, cells, retry_failed=True).done == tuple(cells)
    assert not any(line.endswith("build") for line in tasks(tmp_path) - before)
    assert {row[1:3] for row in rows(tmp_path / "study.db")} == {("done", None)}


def test_what_a_failed_cell_has_is_kept(tmp_path: Path) -> None:
    """Its first part fails while the second is under way; a retry plays the first alone."""
    cell = variant("int8", 10)
    worker = SyntheticWorker(log=tmp_path / "tasks.log")
    plain = worker.episodes

    def first_fails(cell: Cell, artifact: BuiltArtifact | None, seeds: tuple[int, ...]) -> Task:
        task = plain(cell, artifact, seeds)
        failing = replace(task, function=synthetic.raise_own, payload="It fails.")
        return failing if seeds == cell.seeds()[:5] else task

    worker.episodes = first_fails  # type: ignore[method-assign]
    assert len(run(tmp_path, [cell], worker=worker).failed) == 1
    before = tasks(tmp_path)
    assert run(tmp_path, [cell], retry_failed=True).done == (cell,)
    assert tasks(tmp_path) - before == {f"{cell.key} {cell.seeds()[:5]}": 1}


@pytest.mark.parametrize("name", ["policy.onnx", "policy.json"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"changed")])
def test_a_lost_artifact_is_built_again(tmp_path: Path, reference: list, name: str, damage: Any) -> None:
    run(tmp_path, grid())
    before = tasks(tmp_path)
    cell = grid()[2]
    damage(tmp_path / "artifacts" / cell.key[:16] / name)
    assert len(run(tmp_path, grid()).done) == len(grid())
    assert rows(tmp_path / "study.db") == reference
    assert tasks(tmp_path) - before == {f"{cell.key} build": 1}


def test_episodes_are_played_again_when_the_artifact_comes_out_different(tmp_path: Path) -> None:
    cell = variant("int8")
    run(tmp_path, [cell])
    (row,) = rows(tmp_path / "study.db")
    (tmp_path / row[3].path).unlink()
    other = replace(synthetic.build(("other", 0.0)).record, recipe="int8")
    changed = BuiltArtifact(other, synthetic.build(("other", 0.0)).files)
    worker = Strange(stage="build", value=changed)
    worker._strange = lambda c, stage: Task("b", synthetic.echo, changed) if stage == "build" else None  # type: ignore[method-assign]
    assert run(tmp_path, [cell], worker=worker).done == (cell,)
    (after,) = rows(tmp_path / "study.db")
    assert after[3].sha256 == other.sha256
    assert [episode.seed for episode in after[4]] == [episode.seed for episode in row[4]]
    assert all(new != old for new, old in zip(after[4], row[4], strict=True))


class Recorder:
    """Keeps the events, and raises KeyboardInterrupt instead of event number ``stop``."""

    def __init__(self, stop: int | None = None) -> None:
        self.events: list[Event] = []
        self.stop = stop

    def __call__(self, event: Event) -> None:
        if self.stop == len(self.events):
            raise KeyboardInterrupt
        self.events.append(event)


def test_every_event_is_heard(tmp_path: Path) -> None:
    recorder, cells = Recorder(), [random_policy(), baseline(), variant("broken")]
    run(tmp_path, cells, on_event=recorder)
    random, base, broken = cells
    assert recorder.events[0] == Planned(cells=3, done=0, failed=0, episodes=36, episodes_done=0)
    assert [event for event in recorder.events[1:] if not isinstance(event, Planned) and event.cell == random] == [
        CellStarted(random),
        EpisodesPlayed(random, 5),
        EpisodesPlayed(random, 5),
        EpisodesPlayed(random, 2),
        CellFinished(random),
    ]
    assert recorder.events.count(CellBuilt(base)) == 1
    failures = [event for event in recorder.events if isinstance(event, CellFailed)]
    assert [(event.cell, event.failure.kind) for event in failures] == [(broken, "RecipeError")]
    again = Recorder()
    run(tmp_path, [*cells, variant("new")], on_event=again)
    assert again.events[0] == Planned(cells=4, done=2, failed=1, episodes=48, episodes_done=24)


@given(stops=st.lists(st.integers(0, 45), min_size=1, max_size=4))
def test_interrupted_anywhere_it_ends_with_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, reference: list, stops: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("interrupted")
    for stop in stops:
        outcome = run(folder, grid(), on_event=Recorder(stop))
        assert len(outcome.done) + len(outcome.left) == len(grid())
        assert outcome.interrupted or not outcome.left
        with StoreReader(folder / "study.db") as store:
            assert store.counts()["running"] == 0
    assert run(folder, grid()).done == tuple(grid())
    assert rows(folder / "study.db") == reference


def test_a_full_disk_stops_the_study_and_room_lets_it_go_on(tmp_path: Path, reference: list) -> None:
    with Store(tmp_path / "study.db") as store:
        store.plan(grid())
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        executor = DebugExecutor()
        many = [variant(f"recipe {number}", 200) for number in range(100)]
        with pytest.raises(OutputError, match="disk is full"):
            run_cells(Plan((*grid(), *many)), SyntheticWorker(), store, executor)
        assert executor.pending == 0
    assert run(tmp_path, grid()).done == tuple(grid())
    with StoreReader(tmp_path / "study.db") as reader:
        kept = {cell.key for cell in grid()}
        assert {row.key for row in reader.cells()} == kept
    assert rows(tmp_path / "study.db") == reference


def test_a_disk_that_fills_during_the_episodes_loses_no_finished_result(tmp_path: Path) -> None:
    cells = [variant(f"recipe {number}", 100) for number in range(10)]
    with Store(tmp_path / "study.db") as store:
        store.plan(cells)
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages + 4}")
        with pytest.raises(OutputError, match="disk is full"):
            run_cells(Plan(tuple(cells)), SyntheticWorker(), store, DebugExecutor())
    with sqlite3.connect(tmp_path / "study.db") as connection:
        kept = connection.execute("SELECT * FROM episodes").fetchall()
    connection.close()
    assert kept
    assert run(tmp_path, cells).done == tuple(cells)
    with sqlite3.connect(tmp_path / "study.db") as connection:
        assert set(kept) <= set(connection.execute("SELECT * FROM episodes").fetchall())
    connection.close()


def natively(cell: Cell) -> Cell:
    return replace(cell, protocol=replace(cell.protocol, runtime="native"))


def test_an_artifact_is_built_once_whatever_plays_it_and_whenever(tmp_path: Path) -> None:
    worker = SyntheticWorker(log=tmp_path / "log", shares=True)
    first = variant("ptdq")
    cells = [first, replace(first, protocol=replace(first.protocol, purpose="again")), natively(first)]
    assert run(tmp_path, cells, worker=worker).done == tuple(cells)
    later = replace(first, protocol=replace(first.protocol, purpose="later"))
    assert run(tmp_path, [later], worker=worker).done == (later,)
    made = [line.split()[1] for line in (tmp_path / "log").read_text().splitlines()]
    assert (made.count("build"), made.count("prove")) == (1, 1)
    with StoreReader(tmp_path / "study.db") as store:
        records = [store.artifact(cell.key) for cell in (*cells, later)]
        assert [record and record.runtime for record in records] == [
            "onnxruntime",
            "onnxruntime",
            "native",
            "onnxruntime",
        ]
        assert len({record and record.sha256 for record in records}) == 1
        assert len({record and record.path for record in records}) == 4
        assert store.episodes(cells[0].key) == store.episodes(later.key) or cells[0].seeds() != later.seeds()


def test_an_artifact_that_was_proved_natively_is_not_proved_again(tmp_path: Path) -> None:
    worker = SyntheticWorker(log=tmp_path / "log", shares=True)
    first, second = natively(variant("ptdq")), natively(replace(variant("ptdq"), inputs={"other": 1}))
    run(tmp_path, [first], worker=worker)
    with Store(tmp_path / "study.db") as store:
        record = store.artifact(first.key)
        assert record is not None
        # Asked for natively, and another acts: why is this cell's own matter.
        store.record_artifact(
            first.key,
            replace(record, runtime="onnxruntime", notices=("no native form",)),
            store.artifact_files(first.key),
        )
    plain = variant("ptdq")
    run(tmp_path, [second, plain], worker=worker)
    with StoreReader(tmp_path / "study.db") as store:
        assert (store.artifact(plain.key) or record).notices == ("synthetic",)


def test_where_the_builder_fails_the_next_one_builds(tmp_path: Path) -> None:
    worker = SyntheticWorker(log=tmp_path / "log", shares=True)
    cells = [variant("broken"), natively(variant("broken"))]
    outcome = run(tmp_path, cells, worker=worker)
    assert [failure.kind for _, failure in outcome.failed] == ["RecipeError", "RecipeError"]
    assert (tmp_path / "log").read_text().count("build") == 2


def test_a_file_that_is_gone_is_not_lent(tmp_path: Path) -> None:
    worker = SyntheticWorker(log=tmp_path / "log", shares=True)
    first = variant("ptdq")
    run(tmp_path, [first], worker=worker)
    for path in (tmp_path / "artifacts").rglob("*.onnx"):
        path.unlink()
    run(tmp_path, [natively(first)], worker=worker)
    assert (tmp_path / "log").read_text().count("build") == 2


def test_a_native_build_of_an_earlier_run_is_proved_again(tmp_path: Path) -> None:
    """It was proved on the machine of that run, which may be another."""
    worker, first = SyntheticWorker(log=tmp_path / "log", shares=True), natively(variant("ptdq"))
    more = [natively(replace(variant("ptdq"), protocol=EvaluationProtocol(3, purpose=name))) for name in ("a", "b")]
    run(tmp_path, [variant("ptdq"), first], worker=worker)
    run(tmp_path, more, worker=worker)
    made = [line.split()[1] for line in (tmp_path / "log").read_text().splitlines()]
    assert (made.count("build"), made.count("prove")) == (1, 3)
    with StoreReader(tmp_path / "study.db") as store:
        records = [store.artifact(cell.key) for cell in more]
        assert [record and record.runtime for record in records] == ["native", "native"]
