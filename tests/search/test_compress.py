"""A search from start to end on the repository's small agent, and the goals that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from policypress import compress
from policypress.engine.events import DecisionMade, Event
from policypress.engine.store.reader import StoreReader
from policypress.search import strategy
from policypress.search.found.compressed import Compressed
from policypress.search.ladders import Family, families
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import StudyInputError

CARTPOLE = "dqn-CartPole-v1.zip"
SHORT = (
    Family("weights", "ptdq", (8,)),
    Family("l2 norm", "prune(l2, {})", (0.02, 0.1, 0.9)),
)


def short_families(*, trained: bool) -> tuple[Family, ...]:
    return tuple(family for family in SHORT if trained or not family.trained)


@pytest.fixture
def short_ladders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four recipes in place of dozens."""
    monkeypatch.setattr(strategy, "families", short_families)


def searched(agent: Path, output: Path, **options: Any) -> Compressed:
    return compress(agent, output=output, executor="debug", costs=False, **options)


def short_cartpole() -> gymnasium.Env[Any, Any]:
    """CartPole of 60 steps: as good for a test, and soon over."""
    return gymnasium.make("CartPole-v1", max_episode_steps=60)


@pytest.mark.usefixtures("short_ladders")
def test_a_search_certifies_something_smaller_and_the_same_call_plays_nothing_again(
    own_agents: Path, tmp_path: Path
) -> None:
    events: list[Event] = []
    done = searched(own_agents / CARTPOLE, tmp_path, env_fn=short_cartpole, on_event=events.append, max_episodes=1500)
    history = done.history
    assert history is not None
    assert history.ending == "certified"
    assert history.winner is not None
    assert history.won is not None
    assert history.won.certificate.certified
    assert len(history.won.returns) >= 80
    assert {tried.recipe for tried in history.tried} == {r.text for family in SHORT for r in family.recipes()}
    assert all(tried.reason for tried in history.tried if tried.stage != "promising")
    assert any("held-out pairs of episodes" in event.text for event in events if isinstance(event, DecisionMade))
    with StoreReader(done.store) as store:
        chosen_by = {seed for keys in done.groups.values() for key in keys for seed in store.seeds(key)}
        fresh = [row for row in store.cells() if row.cell.protocol.purpose.startswith("certificate/")]
        certifying = {seed for row in fresh for seed in store.seeds(row.key)}
        assert certifying
        assert not certifying & chosen_by
        before = {row.key: row.updated_at for row in store.cells()}
    again = searched(own_agents / CARTPOLE, tmp_path, env_fn=short_cartpole, max_episodes=1500)
    assert again.history is not None
    assert (again.history.winner, again.history.tried) == (history.winner, history.tried)
    assert again.history.attempts == history.attempts
    with StoreReader(done.store) as store:
        assert {row.key: row.updated_at for row in store.cells()} == before


@pytest.mark.usefixtures("short_ladders")
def test_where_episodes_are_too_few_nothing_is_certified_and_it_says_so(own_agents: Path, tmp_path: Path) -> None:
    done = searched(own_agents / CARTPOLE, tmp_path, env_fn=short_cartpole, max_episodes=100)
    assert done.history is not None
    assert done.history.ending == "nothing certified"
    assert done.history.winner is None
    assert "fp32 artifact" in done.history.summary
    assert done.history.attempts == ()


def test_without_training_only_what_takes_no_gradient_steps_is_tried(
    own_agents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = (SHORT[0], Family("students", "distill(cloning, hidden=[{}], steps=10)", (4,), trained=True))
    monkeypatch.setattr(strategy, "families", lambda *, trained: families(table, trained=trained))
    done = searched(own_agents / CARTPOLE, tmp_path, env_fn=short_cartpole, max_episodes=1500, training=False)
    assert done.history is not None
    assert [tried.recipe for tried in done.history.tried] == ["ptdq"]


@pytest.mark.usefixtures("short_ladders")
def test_interrupted_a_search_goes_on_where_it_was(
    own_agents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from policypress.engine.tasks import builds as build_tasks

    plays = 0
    played = build_tasks.measure_returns

    def stopped(*args: Any, **options: Any) -> Any:
        nonlocal plays
        plays += 1
        if plays == 8:
            raise KeyboardInterrupt
        return played(*args, **options)

    monkeypatch.setattr(build_tasks, "measure_returns", stopped)
    first = searched(own_agents / CARTPOLE, tmp_path, env_fn=short_cartpole, max_episodes=1500)
    assert first.outcome.interrupted
    assert first.history is not None
    assert first.history.ending == "interrupted"
    second = searched(own_agents / CARTPOLE, tmp_path, env_fn=short_cartpole, max_episodes=1500)
    assert not second.outcome.interrupted
    assert second.history is not None
    assert second.history.ending == "certified"


def test_an_agent_that_has_learned_nothing_is_refused(tmp_path: Path) -> None:
    from torch import nn

    from policypress import Policy

    env = short_cartpole()
    module = nn.Linear(4, 2)
    nn.init.zeros_(module.weight)
    policy = Policy.from_module(module, env.observation_space, env.action_space)
    done = compress(policy, output=tmp_path, env_fn=short_cartpole, executor="debug", costs=False)
    assert done.history is not None
    assert done.history.ending == "refused"
    assert "not clearly better than random" in done.history.summary
    assert "--env ID" in done.history.summary
    assert "VecNormalize" not in done.history.summary


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": 1.2}, "share to keep"),
        ({"confidence": 0.0}, "confidence"),
        ({"minimize": "beauty"}, "minimize"),
        ({"budget_minutes": 0.0}, "time"),
        ({"max_episodes": 0}, "episode budget"),
        ({"observations": "logged.npz"}, "no recipe"),
    ],
)
def test_goals_that_cannot_be_are_refused(
    options: dict[str, Any], message: str, own_agents: Path, tmp_path: Path
) -> None:
    with pytest.raises(StudyInputError, match=message):
        searched(own_agents / CARTPOLE, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_given_recipes_are_pressed_and_can_be_disturbed(own_agents: Path, tmp_path: Path) -> None:
    done = compress(
        own_agents / CARTPOLE,
        ["int8"],
        output=tmp_path,
        env=EnvironmentSpec("CartPole-v1", kwargs=(("max_episode_steps", 50),)),
        episodes=2,
        executor="debug",
        costs=False,
        robustness=True,
    )
    assert done.history is None
    assert list(done.groups) == ["random", "none", "int8"]
    found = done.robustness
    assert found is not None
    by_name = {row.condition.name: row for row in found.rows}
    assert {row.recipe for row in found.rows} == {"int8"}
    assert by_name["delay"].reason is None
    assert by_name["mass × 0.8"].reason is not None
    assert "MuJoCo" in by_name["mass × 0.8"].reason
    noisy = by_name["noise 10%"].own
    assert np.isfinite(noisy.estimate)  # type: ignore[union-attr]
    with StoreReader(done.store) as store:
        disturbed = [row.cell for row in store.cells() if row.cell.environment and row.cell.environment.wrappers]
        assert {cell.environment.wrappers[-1].name for cell in disturbed if cell.environment} == {
            "ActionDelay",
            "ObservationNoise",
        }
