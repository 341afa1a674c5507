"""VecNormalize statistics equal those of the live object, for single and dict observations."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from spaces_environment import SpacesEnvironment
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from policypress.agents.normalisers.vecnormalize import read_normaliser_state, read_vecnormalize
from policypress_runtime.errors import AgentError, DamagedAgentError, UnsafeAgentError

VECTOR = spaces.Box(-np.inf, np.inf, (3,), np.float64)
KEYED = spaces.Dict({"position": VECTOR, "angle": spaces.Box(-1, 1, (2,), np.float32)})


def live(space: spaces.Space[Any], **settings: Any) -> VecNormalize:
    actions = spaces.Box(-1, 1, (2,), np.float32)
    made = VecNormalize(DummyVecEnv([lambda: SpacesEnvironment(space, actions)]), **settings)
    # A space that has drawn numbers pickles its generator too.
    made.observation_space.seed(3)
    made.action_space.sample()
    made.reset()
    for _ in range(30):
        made.step(np.zeros((1, 2), np.float32))
    return made


def pickled(made: VecNormalize, path: Path) -> bytes:
    made.save(str(path))
    return path.read_bytes()


@pytest.mark.parametrize("protocol", range(2, 6))
def test_single_observation(protocol: int) -> None:
    made = live(VECTOR, clip_obs=7.0, epsilon=1e-6)
    read = read_vecnormalize(pickle.dumps(made, protocol), "v")
    assert list(read) == [""]
    assert np.array_equal(read[""].mean, made.obs_rms.mean)
    assert np.array_equal(read[""].variance, made.obs_rms.var)
    assert (read[""].epsilon, read[""].clip) == (1e-6, 7.0)
    observation = np.array([[1.0, -50.0, 3.0]])
    by_hand = (observation - read[""].mean) / np.sqrt(read[""].variance + read[""].epsilon)
    np.testing.assert_allclose(np.clip(by_hand, -7, 7), made.normalize_obs(observation), rtol=1e-6)


def test_dict_observations_and_their_keys(tmp_path: Path) -> None:
    made = live(KEYED)
    read = read_vecnormalize(pickled(made, tmp_path / "v"), "v")
    assert set(read) == {"position", "angle"}
    assert np.array_equal(read["angle"].mean, made.obs_rms["angle"].mean)
    some = live(KEYED, norm_obs_keys=["position"])
    assert list(read_vecnormalize(pickled(some, tmp_path / "w"), "w")) == ["position"]


def test_rewards_only(tmp_path: Path) -> None:
    assert read_vecnormalize(pickled(live(VECTOR, norm_obs=False), tmp_path / "v"), "v") == {}


@pytest.mark.shared
def test_shared_statistics_equal_what_pickle_gives(shared_agents: Path) -> None:
    paths = sorted(shared_agents.glob("*/vecnormalize.pkl"))
    assert paths
    for path in paths:
        read = read_vecnormalize(path.read_bytes(), path.name)[""]
        assert read.mean.shape == read.variance.shape
        assert (read.clip, read.epsilon) == (10.0, 1e-8)
        assert (read.variance > 0).all()


def changed(made: VecNormalize, **fields: Any) -> bytes:
    for name, value in fields.items():
        target, attribute = (made.obs_rms, name[4:]) if name.startswith("rms_") else (made, name)
        setattr(target, attribute, value)
    return pickle.dumps(made)


@pytest.mark.parametrize(
    "fields",
    [
        {"epsilon": 0.0},
        {"epsilon": np.nan},
        {"epsilon": None},
        {"clip_obs": -1.0},
        {"clip_obs": "10"},
        {"obs_rms": None},
        {"obs_rms": np.zeros(3)},
        {"rms_mean": np.zeros(2)},
        {"rms_mean": np.array([0, np.nan, 0])},
        {"rms_mean": "x"},
        {"rms_var": np.array([1.0, -1.0, 1.0])},
        {"rms_var": np.array([1.0, np.inf, 1.0])},
    ],
)
def test_impossible_numbers(fields: dict[str, Any]) -> None:
    with pytest.raises(DamagedAgentError):
        read_vecnormalize(changed(live(VECTOR), **fields), "v")


def test_infinite_clip_is_no_clip() -> None:
    assert read_vecnormalize(changed(live(VECTOR), clip_obs=np.inf), "v")[""].clip == np.inf


@pytest.mark.parametrize("keys", [["speed"], "position", [3]])
def test_keys_that_are_not_there(keys: Any) -> None:
    with pytest.raises(DamagedAgentError, match="norm_obs_keys"):
        read_vecnormalize(changed(live(KEYED), norm_obs_keys=keys), "v")


@pytest.mark.parametrize("value", [np.zeros(3), {"mean": 1}, 3, "x"])
def test_other_pickles(value: Any) -> None:
    with pytest.raises(DamagedAgentError, match="VecNormalize"):
        read_vecnormalize(pickle.dumps(value), "v")


class RunsWhenLoaded:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return exec, (f"open({str(self.canary)!r}, 'w').close()",)


def test_code_among_the_statistics(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for fields in ({"obs_rms": RunsWhenLoaded(canary)}, {"old_reward": RunsWhenLoaded(canary)}):
        with pytest.raises(UnsafeAgentError, match="exec"):
            read_vecnormalize(changed(live(VECTOR), **fields), "v")
    assert not canary.exists()


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return pickled(live(VECTOR), tmp_path_factory.mktemp("v") / "v")


@given(data=st.data())
def test_damage(content: bytes, data: st.DataObject) -> None:
    with pytest.raises(AgentError):
        read_vecnormalize(content[: data.draw(st.integers(0, len(content) - 1))], "v")
    flipped = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        flipped[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(AgentError):
        read_vecnormalize(bytes(flipped), "v")


@pytest.mark.parametrize(("space", "keys"), [(VECTOR, [""]), (KEYED, ["position", "angle"])])
def test_what_a_training_goes_on_with_is_all_of_the_live_object(
    space: spaces.Space[Any], keys: list[str], tmp_path: Path
) -> None:
    made = live(space, clip_obs=7.0)
    state = read_normaliser_state(pickled(made, tmp_path / "statistics.pkl"), "statistics.pkl")
    assert sorted(state.observations) == sorted(keys)
    running = made.obs_rms if isinstance(made.obs_rms, dict) else {"": made.obs_rms}
    for key, moments in {**state.observations, "returns": state.returns}.items():
        expected = made.ret_rms if key == "returns" else running[key]
        assert moments is not None
        assert np.array_equal(moments.mean, expected.mean)
        assert np.array_equal(moments.variance, expected.var)
        assert moments.count == expected.count
    assert (state.clip, state.epsilon) == (7.0, made.epsilon)


def test_rewards_that_were_not_normalised_leave_no_returns(tmp_path: Path) -> None:
    state = read_normaliser_state(pickled(live(VECTOR, norm_reward=False), tmp_path / "s.pkl"), "s.pkl")
    assert state.returns is None
