from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_study import AGENT, ENVIRONMENT, baseline, build, grid, random_policy, variant

from policypress.engine.store.reader import AgentRow, StoreReader
from policypress.engine.store.store import Store, tolerant_json
from policypress.engine.tasks.task import Failure
from policypress.records import EpisodeRecord, Measurement
from policypress_runtime.errors import OutputError, StoreError

EPISODES = tuple(EpisodeRecord(seed, seed / 3, seed + 1, "terminated", 0.5) for seed in range(5))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "new" / "study.db")
    store.plan(grid())
    yield store
    store.close()


def test_cells_come_back_in_the_order_of_the_plan(store: Store) -> None:
    assert [row.cell for row in store.cells()] == grid()
    assert [row.key for row in store.cells()] == [cell.key for cell in grid()]
    assert {row.status for row in store.cells()} == {"pending"}
    assert store.counts() == {"pending": 6, "running": 0, "done": 0, "failed": 0}


def test_planning_again_changes_nothing_and_appends_what_is_new(store: Store) -> None:
    store.finish(baseline().key)
    store.plan([variant("new"), *grid(), baseline()])
    assert [row.cell for row in store.cells()] == [*grid(), variant("new")]
    assert [row.cell for row in store.cells(status="done")] == [baseline()]
    assert [row.cell for row in store.cells(kind="random")] == [random_policy()]


def test_a_cells_way_through_the_store(store: Store) -> None:
    key = baseline().key
    store.start(key, {"packages": {"numpy": "2"}})
    store.start(key, {"packages": {"numpy": "2"}})
    store.start(key, {"packages": {"numpy": "3"}})
    row = store.cell(key)
    assert row is not None
    assert row.status == "running"
    assert row.provenance == ({"packages": {"numpy": "2"}}, {"packages": {"numpy": "3"}})
    store.fail(key, Failure("ValueError", "fell over", "Traceback ..."))
    row = store.cell(key)
    assert row is not None
    assert (row.status, row.failure) == ("failed", Failure("ValueError", "fell over", "Traceback ..."))
    store.reopen(key)
    row = store.cell(key)
    assert row is not None
    assert (row.status, row.failure) == ("pending", None)
    assert row.created_at <= row.updated_at
    assert row.updated_at.endswith("+00:00")


def test_running_cells_are_released(store: Store) -> None:
    store.start(baseline().key, {})
    store.finish(random_policy().key)
    store.release_running()
    assert store.counts() == {"pending": 5, "running": 0, "done": 1, "failed": 0}


def test_a_cell_that_was_never_planned_cannot_start(store: Store) -> None:
    with pytest.raises(StoreError, match="not in the store"):
        store.start("0" * 64, {})
    assert store.cell("0" * 64) is None


@given(
    st.lists(
        st.builds(
            EpisodeRecord,
            st.integers(0, 2**31 - 2),
            st.floats(allow_nan=False, allow_infinity=False),
            st.integers(0, 10**9),
            st.sampled_from(["terminated", "truncated", "step_limit"]),
            st.floats(0, 1e9),
        ),
        unique_by=lambda episode: episode.seed,
        max_size=8,
    )
)
def test_episodes_come_back_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, episodes: list) -> None:
    with Store(tmp_path_factory.mktemp("store") / "study.db") as store:
        store.plan([baseline()])
        store.record_episodes(baseline().key, episodes, done=True)
        assert store.episodes(baseline().key) == tuple(sorted(episodes, key=lambda episode: episode.seed))
        assert store.seeds(baseline().key) == {episode.seed for episode in episodes}
        assert store.counts()["done"] == 1


def test_no_episode_is_there_twice(store: Store) -> None:
    key = baseline().key
    store.record_episodes(key, EPISODES, done=False)
    again = (EpisodeRecord(99, 0.0, 1, "truncated", 0.1), EPISODES[0])
    with pytest.raises(StoreError, match="UNIQUE"):
        store.record_episodes(key, again, done=True)
    assert store.episodes(key) == EPISODES
    assert store.counts()["done"] == 0


def test_an_episode_belongs_to_a_cell(store: Store) -> None:
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        store.record_episodes("0" * 64, EPISODES, done=False)


def test_numbers_of_numpy_are_stored_as_numbers(store: Store) -> None:
    episode = EpisodeRecord(int(np.int64(7)), float(np.float64(0.1)), 3, "terminated", 0.2)
    raw = replace(episode)
    object.__setattr__(raw, "seed", np.int64(7))
    object.__setattr__(raw, "episode_return", np.float32(0.5))
    store.record_episodes(baseline().key, [raw], done=False)
    assert store.episodes(baseline().key) == (replace(episode, episode_return=0.5),)


def test_artifacts_come_back(store: Store) -> None:
    key, record = baseline().key, build(("none", 0.0)).record
    assert store.artifact(key) is None
    assert store.artifact_files(key) == {}
    store.record_artifact(key, record, {"artifacts/a/policy.onnx": record.sha256})
    assert store.artifact(key) == record
    assert store.artifact_files(key) == {"artifacts/a/policy.onnx": record.sha256}
    nothing = replace(record, action_error=None, notices=())
    store.record_artifact(key, nothing, {})
    assert store.artifact(key) == nothing


def test_episodes_stay_with_the_artifact_that_played_them(store: Store) -> None:
    key, record = baseline().key, build(("none", 0.0)).record
    store.record_artifact(key, record, {})
    store.record_episodes(key, EPISODES, done=False)
    store.record_episodes(random_policy().key, EPISODES, done=False)
    store.record_artifact(key, replace(record, build_s=9.0), {})
    assert store.episodes(key) == EPISODES
    store.record_artifact(key, replace(record, sha256="f" * 64), {})
    assert store.episodes(key) == ()
    assert store.episodes(random_policy().key) == EPISODES


def test_measurements_come_back_and_a_repeated_one_replaces(store: Store) -> None:
    key = baseline().key
    first = Measurement("latency", "s", (1e-6, 2e-6), {"batch": 1}, {"cpu": "x"})
    other = [
        replace(first, quantity="energy", unit="J", source="modelled"),
        replace(first, machine={"cpu": "y"}),
        replace(first, seed=3),
    ]
    store.record_measurements(key, [first, *other])
    assert store.measurements(key) == (first, *other)
    repeated = replace(first, samples=(0.1 + 0.2,))
    store.record_measurements(key, [repeated])
    assert store.measurements(key) == (*other, repeated)
    assert store.measurements(key, "energy") == (other[0],)


def test_agents_come_back(store: Store) -> None:
    agent = AgentRow(AGENT, "hopper.zip", "sac", ENVIRONMENT, "2.9.2", {"gamma": 0.99}, ("mapped from v3",))
    bare = AgentRow("0" * 64, "net.onnx", "onnx")
    store.add_agent(agent)
    store.add_agent(bare)
    store.add_agent(agent)
    assert store.agents() == (bare, agent)


def test_what_others_wrote_is_kept_whatever_it_is() -> None:
    value = {"clip": math.inf, 3: (1, None, True), "x": object, "n": float("nan")}
    assert json.loads(tolerant_json(value)) == {"clip": "inf", "3": [1, None, True], "x": str(object), "n": "nan"}


def test_a_reader_sees_what_is_committed_while_the_driver_writes(store: Store) -> None:
    with StoreReader(store.path) as reader:
        assert reader.counts()["done"] == 0
        store.record_episodes(baseline().key, EPISODES, done=True)
        assert reader.counts()["done"] == 1
        assert reader.episodes(baseline().key) == EPISODES
        assert reader.folder == store.folder


def test_the_second_driver_is_refused_until_the_first_closes(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with Store(path), pytest.raises(StoreError, match="Another process is running this study"):
        Store(path)
    Store(path).close()


def test_a_store_that_cannot_be_opened_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    path.write_text("no database, but a text of more than a hundred characters " * 5)
    for _ in range(2):
        with pytest.raises(StoreError, match="damaged, or this is not a result store"):
            Store(path)


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be made"):
        Store(tmp_path / "file" / "study.db")
