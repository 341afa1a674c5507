"""Episodes of simulators that step many environments at once are those of one environment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from policypress import compress, evaluate
from policypress.engine.store.reader import StoreReader
from policypress.environments.rollout import random_actor, run_episode
from policypress.environments.side_by_side import BatchActor, play_side_by_side, side_by_side
from policypress.environments.wrappers.faults import opened
from policypress.environments.wrappers.one_of_many import OneOfMany
from policypress.measurement.returns import measure_returns
from policypress.records import EpisodeRecord
from policypress_runtime.errors import EnvironmentFailedError, ObservationError

SEEDS = (3, 11, 5, 8, 2, 19, 4)
CARTPOLE = "dqn-CartPole-v1.zip"


def cart() -> gymnasium.Env[Any, Any]:
    return gymnasium.make("CartPole-v1", max_episode_steps=45)


def carts(mode: AutoresetMode = AutoresetMode.NEXT_STEP, count: int = 3) -> SyncVectorEnv:
    return SyncVectorEnv([cart] * count, autoreset_mode=mode)


def one_seed_carts() -> VectorEnv[Any, Any, Any]:
    """A simulator that takes one seed for all, as those on GPUs do."""
    return gymnasium.make_vec("CartPole-v1", num_envs=4, vectorization_mode="vector_entry_point")


def lean(observation: Any) -> int:
    """Holds the pole for a while, not for ever."""
    return int(observation[2] + 0.1 * observation[1] > 0)


ACTOR = BatchActor(lean, lambda batch: np.array([lean(row) for row in batch]))


def played(rows: tuple[EpisodeRecord, ...]) -> list[EpisodeRecord]:
    return [replace(row, cpu_s=0.0) for row in rows]


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("max_steps", [None, 12])
def test_however_a_simulator_goes_on_after_an_episode_the_rows_are_those_of_one(
    mode: AutoresetMode, max_steps: int | None
) -> None:
    alone = measure_returns(ACTOR, cart, SEEDS, max_steps=max_steps)
    assert len({row.length for row in alone}) > 1 or max_steps
    together: list[EpisodeRecord] = []
    rows = measure_returns(ACTOR, lambda: carts(mode), SEEDS, max_steps=max_steps, on_episode=together.append)
    assert played(rows) == played(alone)
    assert tuple(together) == rows


def test_random_actions_are_drawn_from_the_stream_of_each_seed() -> None:
    with opened(carts) as env:
        assert isinstance(env, OneOfMany)
        one = [run_episode(env, random_actor(env, seed), seed) for seed in SEEDS]

        def drawn(seeds: Any) -> Any:
            actors = [random_actor(env, seeds[index % len(seeds)]) for index in range(3)]
            return lambda _: np.array([act(None) for act in actors])

        assert played(play_side_by_side(env, drawn, SEEDS, None)) == played(tuple(one))


def test_a_simulator_with_one_seed_for_all_plays_the_same_again() -> None:
    first = measure_returns(ACTOR, one_seed_carts, SEEDS)
    assert played(first) == played(measure_returns(ACTOR, one_seed_carts, SEEDS))
    assert [row.seed for row in first] == list(SEEDS)
    assert played(first) != played(measure_returns(ACTOR, one_seed_carts, SEEDS[::-1]))[::-1]


def test_one_of_many_is_an_environment_with_their_limit() -> None:
    with opened(carts) as env:
        assert env.spec is not None
        assert env.spec.max_episode_steps == 45
        assert env.observation_space == cart().observation_space
        seen, _ = env.reset(seed=7)
        np.testing.assert_array_equal(seen, cart().reset(seed=7)[0])
    assert (side_by_side(carts), side_by_side(cart)) == (3, 1)


def test_a_simulator_that_is_there_stays_open_and_gives_the_same_returns(own_agents: Path) -> None:
    simulator = carts(count=4)
    found = evaluate(own_agents / CARTPOLE, episodes=6, env=simulator)
    alone = evaluate(own_agents / CARTPOLE, episodes=6, env=cart)
    assert played(found.episodes) == played(alone.episodes)
    assert found.environment.id.endswith("CartPole-v1")
    simulator.reset(seed=0)
    simulator.close()


def test_compress_plays_in_a_simulator_what_it_plays_in_one_environment(own_agents: Path, tmp_path: Path) -> None:
    rows = {}
    for name, env_fn in (("together", carts), ("alone", cart)):
        done = compress(
            own_agents / CARTPOLE,
            ["none"],
            output=tmp_path / name,
            env_fn=env_fn,
            episodes=7,
            executor="debug",
            costs=False,
        )
        with StoreReader(done.store) as store:
            rows[name] = {label: played(store.episodes(key)) for label, key in done.cells.items()}
    assert set(rows["alone"]) == {"random", "none"}
    assert rows["together"] == rows["alone"]


class Falls(gymnasium.Env[Any, Any]):
    """Says at its last step whether it fell, and by its seed whether it did."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = 4 if seed is None else 3 + seed % 3
        self.falls = seed is not None and seed % 2 == 1
        return np.zeros(2, np.float32), {"names": ["a"], "fell": True}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        told = {"fell": self.falls} if self.left == 0 else {}
        return np.zeros(2, np.float32), 1.0, self.left == 0, False, told


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_fall_that_info_marks_is_that_of_its_own_episode(mode: AutoresetMode) -> None:
    still = BatchActor(lambda _: np.zeros(1), lambda batch: np.zeros((len(batch), 1), np.float32))

    def falls() -> SyncVectorEnv:
        return SyncVectorEnv([Falls] * 3, autoreset_mode=mode)

    expected = measure_returns(still, Falls, SEEDS, fall_key="fell")
    assert [row.fell for row in expected] == [seed % 2 == 1 for seed in SEEDS]
    assert played(measure_returns(still, falls, SEEDS, fall_key="fell")) == played(expected)
    with opened(falls) as env:
        alone = [run_episode(env, still.act, seed, fall_key="fell") for seed in SEEDS]
    assert played(tuple(alone)) == played(expected)
    assert all(row.fell is None for row in measure_returns(still, falls, SEEDS, fall_key="absent"))


class Broken(gymnasium.Env[Any, Any]):
    """Shows, pays or raises something wrong at its fourth step."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def __init__(self, how: str) -> None:
        self.how, self.count = how, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.count = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.count += 1
        late = self.count > 3
        if late and self.how == "raises":
            raise KeyError("joint")
        reward = float("nan") if late and self.how == "reward" else 1.0
        return np.zeros(2, np.float32), reward, self.count == 6, False, {}


@pytest.mark.parametrize(("how", "message"), [("raises", "own error"), ("reward", "reward that is not finite")])
def test_what_goes_wrong_in_a_simulator_is_its_own(how: str, message: str) -> None:
    still = BatchActor(lambda _: np.zeros(1), lambda batch: np.zeros((len(batch), 1), np.float32))
    with pytest.raises(EnvironmentFailedError, match=message):
        measure_returns(still, lambda: SyncVectorEnv([lambda: Broken(how)] * 2), SEEDS)


def test_actions_that_are_none_are_refused() -> None:
    for actions in (np.full((2, 1), np.nan), np.zeros((1, 1))):
        wrong = BatchActor(lambda _: np.zeros(1), lambda batch, actions=actions: actions)  # type: ignore[misc]
        with pytest.raises(ObservationError, match="do not fit"):
            measure_returns(wrong, lambda: SyncVectorEnv([lambda: Broken("")] * 2), SEEDS)
