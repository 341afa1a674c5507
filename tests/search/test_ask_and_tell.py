"""A search whose episodes are played by somebody else: asked for, told, killed in between, and certified."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import elsewhere_player as player
from policypress import Search
from policypress.engine.store.reader import StoreReader
from policypress.engine.store.store import Store
from policypress.search import strategy
from policypress.search.elsewhere.ask_and_tell import TABLE, Round
from policypress.search.elsewhere.returns import PlayedEpisode, Told
from policypress.search.elsewhere.settings import AskOptions, Settings
from policypress.search.ladders import Family
from policypress_runtime.errors import EpisodeFileError, StoreError, StudyInputError

CARTPOLE = "dqn-CartPole-v1.zip"
SHORT = (Family("weights", "ptdq", (8,)), Family("l2 norm", "prune(l2, {})", (0.9,)))
GOAL = AskOptions(keep=0.8, worst_return=0, best_return=player.STEPS, max_episodes=900)


@pytest.fixture(autouse=True)
def short_ladders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two recipes in place of dozens."""
    monkeypatch.setattr(strategy, "families", lambda *, trained: SHORT)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "logged.npz"
    np.savez(path, observations=player.observations(1500))
    return path


@pytest.fixture
def started(own_agents: Path, tmp_path: Path, log: Path) -> Search:
    Search.start(own_agents / CARTPOLE, tmp_path / "out", observations=log, options=GOAL)
    return Search(tmp_path / "out", executor="debug")


def told_of(now: Round, value: Callable[[str, int], float]) -> list[PlayedEpisode]:
    return [PlayedEpisode(p.artifact, seed, value(p.artifact, seed)) for p in now.plays for seed in p.seeds]


def test_another_process_that_knows_no_gymnasium_plays_until_something_is_certified(started: Search) -> None:
    folder, rounds = started.folder, 0
    while not (now := started.ask()).over:
        rounds += 1
        assert now.table == folder / TABLE
        done = subprocess.run(
            [sys.executable, player.__file__, folder, now.table, folder / "filled.csv"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        # Each command is a process of its own, on any day: nothing is known but what the folder holds.
        asked = sum(len(play.seeds) for play in now.plays)
        assert Search(folder).tell_file(folder / "filled.csv") == Told(asked, 0, 0)
        assert Search(folder).tell_file(folder / "filled.csv") == Told(0, asked, 0)
    assert now.found is not None
    history = now.found.history
    assert history is not None
    assert (history.ending, history.winner) == ("certified", "ptdq")
    assert history.won is not None
    assert history.won.certificate.limits is not None
    assert (history.won.certificate.limits.low_from, history.won.certificate.limits.high) == ("stated", player.STEPS)
    assert rounds <= 6
    assert not (folder / TABLE).exists()
    assert started.ask().found is not None
    with StoreReader(now.found.store) as store:
        rows = [row for row in store.cells() if row.cell.protocol.purpose.startswith("certificate/")]
        certifying = {seed for row in rows for seed in store.seeds(row.key)}
        choosing = {seed for keys in now.found.groups.values() for key in keys for seed in store.seeds(key)}
        assert certifying
        assert not certifying & choosing


def test_returns_may_come_in_parts_and_what_is_missing_is_asked_for_again(started: Search) -> None:
    now = started.ask()
    assert [(play.recipe, len(play.seeds)) for play in now.plays] == [("none", 10), ("random", 10)]
    everything = told_of(now, lambda artifact, seed: 5.0 + seed % 7)
    assert started.tell(everything[:4]) == Told(4, 0, 16)
    again = started.ask()
    assert [(play.recipe, len(play.seeds)) for play in again.plays] == [("none", 6), ("random", 10)]
    assert started.tell(everything) == Told(16, 4, 0)


def test_the_table_is_told_as_it_stands_and_rows_without_a_return_were_not_played(started: Search) -> None:
    now = started.ask()
    table = now.table
    assert table is not None
    rows = [line.split(",") for line in table.read_text().splitlines()]
    assert rows[0] == ["artifact", "seed", "return"]
    assert started.tell_file(table) == Told(0, 0, 20)
    rows[3][2] = "12.5"
    # Somebody who writes a table of his own names the file as he found it.
    rows[4] = [str(started.folder / rows[4][0]), rows[4][1], "13"]
    table.write_text("".join(",".join(row) + "\n" for row in rows))
    assert started.tell_file(table) == Told(2, 0, 18)


def test_random_actions_that_nobody_shall_play_are_stated(own_agents: Path, tmp_path: Path, log: Path) -> None:
    stated = replace(GOAL, random_return=0.0)
    Search.start(own_agents / CARTPOLE, tmp_path / "out", observations=log, options=stated)
    search = Search(tmp_path / "out", executor="debug")
    now = search.ask()
    assert [(play.recipe, len(play.seeds)) for play in now.plays] == [("none", 10)]
    search.tell(told_of(now, lambda artifact, seed: 30.0 + seed % 3))
    assert {play.recipe for play in search.ask().plays} == {"ptdq", "prune(l2, 0.9)"}
    with StoreReader(search.folder / "study.db") as store:
        (row,) = store.cells(kind="random")
        assert {episode.episode_return for episode in store.episodes(row.key)} == {0.0}


def test_a_baseline_that_is_no_better_than_random_actions_ends_the_search(started: Search) -> None:
    while not (now := started.ask()).over:
        started.tell(told_of(now, lambda artifact, seed: float(seed % 13)))
    assert now.found is not None
    assert now.found.history is not None
    assert now.found.history.ending == "refused"


def test_what_cannot_be_taken_is_refused_and_nothing_of_it_is_kept(started: Search) -> None:
    now = started.ask()
    good = told_of(now, lambda artifact, seed: 1.0)
    for wrong, message in (
        (PlayedEpisode("artifacts/0/other.onnx", good[0].seed, 1.0), "nobody asked for"),
        (PlayedEpisode(good[0].artifact, 17, 1.0), "nobody asked for"),
        (PlayedEpisode(good[0].artifact, good[0].seed, 2.0), "told twice"),
        (replace(good[1], episode_return=float("nan")), "not finite"),
    ):
        with pytest.raises(EpisodeFileError, match=message):
            started.tell([good[0], wrong])
    assert started.tell([]) == Told(0, 0, 20)
    started.tell(good)
    with pytest.raises(EpisodeFileError, match="different returns"):
        started.tell([replace(good[0], episode_return=3.0)])


def test_falls_by_a_key_of_info_are_refused_with_the_way_on() -> None:
    with pytest.raises(StudyInputError, match="no column of info") as refused:
        replace(GOAL, falls="info:fell")
    assert "--falls terminated" in str(refused.value.hint)


def test_where_a_fall_is_an_ending_every_episode_says_how_it_ended(own_agents: Path, tmp_path: Path, log: Path) -> None:
    stated = replace(GOAL, falls="terminated", max_falls=0.1)
    Search.start(own_agents / CARTPOLE, tmp_path / "out", observations=log, options=stated)
    search = Search(tmp_path / "out", executor="debug")
    now = search.ask()
    assert now.table is not None
    assert now.table.read_text().splitlines()[0] == "artifact,seed,return,terminated"
    first = told_of(now, lambda artifact, seed: 1.0)[0]
    with pytest.raises(EpisodeFileError, match="how an episode ended"):
        search.tell([first])
    search.tell([replace(first, terminated=True)])
    with StoreReader(search.folder / "study.db") as store:
        assert [row.ending for one in store.cells() for row in store.episodes(one.key)] == ["terminated"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("seed,return\n1,2\n", "no column 'artifact'"),
        ("artifact,return\nrandom,2\n", "which episodes"),
        ("artifact,seed,return\nrandom,1,fast\n", "no number"),
        ("artifact,seed,return\nrandom,1,1e999\n", "not finite"),
        ("artifact,seed,return\nrandom,1,2\nrandom,1,2\n", "twice"),
        ("artifact,seed\nrandom,1\n", "no column of returns"),
        ("", "no episodes"),
    ],
)
def test_a_table_that_cannot_be_read_says_why(started: Search, tmp_path: Path, table: str, message: str) -> None:
    file = tmp_path / "told.csv"
    file.write_text(table)
    with pytest.raises(EpisodeFileError, match=message):
        started.tell_file(file)


def test_an_agent_or_a_log_that_changed_is_noticed(own_agents: Path, tmp_path: Path, log: Path) -> None:
    agent = tmp_path / "agent.zip"
    shutil.copy(own_agents / CARTPOLE, agent)
    search = Search.start(agent, tmp_path / "out", observations=log)
    assert Search.start(agent, tmp_path / "out", observations=log).folder == search.folder
    with pytest.raises(StudyInputError, match="Another search was started"):
        Search.start(agent, tmp_path / "out", observations=log, keep=0.9)
    np.savez(log, observations=player.observations(1501))
    with pytest.raises(StudyInputError, match="recorded observations changed"):
        search.ask()
    with pytest.raises(StudyInputError, match="no search in this folder"):
        Search(tmp_path)
    with Store(tmp_path / "other" / "study.db"):
        pass
    with pytest.raises(StudyInputError, match="No search that is played elsewhere"):
        Search(tmp_path / "other").ask()


def test_goals_that_cannot_be(own_agents: Path, tmp_path: Path, log: Path) -> None:
    for wrong in ({"minimize": "latency"}, {"at_once": 0}, {"keep": 1.5}, {"falls": "info:fell"}):
        with pytest.raises(StudyInputError):
            Search.start(own_agents / CARTPOLE, tmp_path / "out", observations=log, **wrong)
    with pytest.raises(StudyInputError, match="path of a file"):
        Search.start(3.0, tmp_path / "out", observations=log)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_settings_survive_a_text_and_others_are_refused() -> None:
    settings = Settings("a.zip", "o.npz", {"activation": "elu"}, replace(GOAL, random_return=-1.5), None, "p", "o")
    assert Settings.from_text(settings.to_text()) == settings
    for text in ("", "[]", "{}", settings.to_text().replace('"version": 1', '"version": 2')):
        with pytest.raises(StoreError, match="how its search was started"):
            Settings.from_text(text)


ASK = """
import sys
from policypress import Search
from policypress.search import strategy
from policypress.search.ladders import Family
rungs = (0.9, 0.5, 0.3, 0.1, 0.05, 0.02)
strategy.families = lambda *, trained: (Family("weights", "ptdq", (8,)), Family("l2 norm", "prune(l2, {})", rungs))
Search(sys.argv[1], executor="debug").ask()
"""


@pytest.mark.slow
def test_a_killed_ask_loses_nothing_and_asks_for_the_same(own_agents: Path, tmp_path: Path, log: Path) -> None:
    folder, command = tmp_path / "out", [sys.executable, "-c", ASK]
    first = Search.start(own_agents / CARTPOLE, folder, observations=log, options=GOAL)
    subprocess.run([*command, folder], check=True)
    rows = [line.split(",") for line in (folder / TABLE).read_text().splitlines()[1:]]
    first.tell([PlayedEpisode(name, int(seed), 30.0 if name != "random" else 9.0) for name, seed, _ in rows])
    (folder / TABLE).unlink()
    shutil.copytree(folder, tmp_path / "undisturbed")
    for built in (2, 5):
        child = subprocess.Popen([*command, folder])
        while len(list(folder.glob("artifacts/*/*.onnx"))) < built:
            assert child.poll() is None
            time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert first.tell([]).new == 0
    for place in (folder, tmp_path / "undisturbed"):
        subprocess.run([*command, place], check=True)
    assert (folder / TABLE).read_bytes() == (tmp_path / "undisturbed" / TABLE).read_bytes()
