"""What a search finds again in its store."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from policypress.compression.recipe import Recipe
from policypress.engine.cells.builder import CellBuilder
from policypress.engine.executors.debug_executor import DebugExecutor
from policypress.engine.store.store import Store
from policypress.engine.tasks.calibration import Calibration
from policypress.environments.trust import user_environment
from policypress.records import EpisodeRecord, EvaluationProtocol
from policypress.search.session import CERTIFICATE, EARLIER_CERTIFICATION, SLACK, EpisodeRequest, Session
from policypress_runtime.contract import EnvironmentSpec


@pytest.mark.parametrize(
    "environment",
    [
        EnvironmentSpec("CartPole-v1"),
        user_environment("CartPole-v1"),
        user_environment("CartPole-v1", ["friction=(0.7, 0.1)"], ["TimeLimit(max_episode_steps=9)"]),
    ],
)
def test_numbers_of_certificates_that_were_spent_are_known(environment: EnvironmentSpec, tmp_path: Path) -> None:
    def session(environment: EnvironmentSpec) -> Session:
        """One that plays nothing, and so needs no agent."""
        builder = CellBuilder.of_agent("a" * 64, environment, EvaluationProtocol(episodes=1, seed=0), 8)
        return Session(Mock(spec=Calibration), builder, store, DebugExecutor())

    recipe = Recipe.parse("equalize > int8")
    with Store(tmp_path / "study.db") as store:
        mine = session(environment)
        assert mine.certified_before() == {}
        store.plan([mine._cell(EpisodeRequest(recipe, f"{CERTIFICATE}/2/0", 40))])
        store.plan([mine._cell(EpisodeRequest(Recipe(), f"{CERTIFICATE}/2/0", 40))])
        assert mine.certified_before() == {2: recipe.text}
        assert session(environment).certified_before() == {2: recipe.text}
        # What an earlier version certified by another rule is spent, and is not taken for a certificate.
        store.plan([mine._cell(EpisodeRequest(recipe, f"{EARLIER_CERTIFICATION}/1", 40))])
        assert mine.certified_before() == {2: recipe.text}
        assert mine.numbers_spent() == {1, 2}
        assert session(EnvironmentSpec("Acrobot-v1")).certified_before() == {}


def test_an_episode_takes_its_cpu_time_shared_among_the_processes(tmp_path: Path) -> None:
    with Store(tmp_path / "study.db") as store:
        builder = CellBuilder.of_agent("a" * 64, EnvironmentSpec("CartPole-v1"), EvaluationProtocol(1), 8)
        session = Session(Mock(spec=Calibration), builder, store, DebugExecutor())
        assert 0 < session.episode_s() < 1e-3, "nothing was played"
        cell = session._cell(EpisodeRequest(Recipe(), "search/race/1", 2))
        store.plan([cell])
        store.record_episodes(cell.key, [EpisodeRecord(s, 1.0, 5, "truncated", 0.5) for s in cell.seeds()], done=True)
        session._played[cell.key] = cell
        assert session.episode_s() == pytest.approx(SLACK * 0.5)
