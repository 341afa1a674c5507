"""An environment's failure is told as its own, with the place in its code, wherever it happens."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from policypress.environments.determinism import ignores_seed
from policypress.environments.observations import visited
from policypress.environments.rollout import random_actor, run_episode, try_out
from policypress.environments.spaces import spaces_in
from policypress.environments.wrappers.faults import failure_of, failure_within, is_old_gym, opened, place_of
from policypress.measurement.agent_in_environment import step_limit
from policypress.measurement.returns import measure_returns
from policypress_runtime.errors import EnvironmentFailedError, InputError

OBSERVATION = np.zeros(3, np.float32)


class Whole(gymnasium.Env[Any, Any]):
    """Follows the interface; its children do not."""

    observation_space: spaces.Space[Any] = spaces.Box(-1, 1, (3,), np.float32)
    action_space: spaces.Space[Any] = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return OBSERVATION, {}

    def step(self, action: Any) -> Any:
        return OBSERVATION, 1.0, True, False, {}


class NoConstructor(Whole):
    def __init__(self) -> None:
        raise KeyError("no such map")


class BadReset(Whole):
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        raise FileNotFoundError("track.json")


class BadStep(Whole):
    def step(self, action: Any) -> Any:
        return {}["speed"]


class Leaves(Whole):
    def step(self, action: Any) -> Any:
        raise SystemExit(0)


class BadClose(Whole):
    def close(self) -> None:
        raise RuntimeError("the window is gone")


class OldReset(Whole):
    def reset(self) -> Any:  # type: ignore[override]
        return OBSERVATION


class NoSeed(Whole):
    def reset(self, options: Any = None) -> Any:  # type: ignore[override]
        return OBSERVATION, {}


class ObservationAlone(Whole):
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return OBSERVATION


class TwoNumbers(Whole):
    """Two numbers unpack like a pair; they are none."""

    observation_space = spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return np.zeros(2, np.float32)


class FourThings(Whole):
    def step(self, action: Any) -> Any:
        return OBSERVATION, 1.0, True, {}


class OwnUnpacking(Whole):
    """The same words as an old interface has, but the fault is in its own code."""

    def step(self, action: Any) -> Any:
        first, second = OBSERVATION
        return first, second, True, False, {}


class BadReward(Whole):
    def step(self, action: Any) -> Any:
        return OBSERVATION, np.nan, True, False, {}


class NoReward(Whole):
    def step(self, action: Any) -> Any:
        return OBSERVATION, None, True, False, {}


def played(env: Callable[[], gymnasium.Env[Any, Any]]) -> EnvironmentFailedError:
    with pytest.raises(EnvironmentFailedError) as caught:
        measure_returns(lambda _: 0, env, [0])
    assert isinstance(caught.value, InputError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("env", "says", "got"),
    [
        (NoConstructor, "constructor failed", "KeyError: 'no such map' ("),
        (BadReset, "reset() failed", "FileNotFoundError: track.json ("),
        (BadStep, "step() failed", "KeyError: 'speed' ("),
        (Leaves, "step() failed", "SystemExit: 0 ("),
        (BadClose, "close() failed", "RuntimeError: the window is gone ("),
        (OwnUnpacking, "step() failed", "ValueError: too many values"),
        (NoReward, "step() failed", "TypeError: float() argument"),
        (BadReward, "reward that is not finite", "sum to nan in the 1 steps of the episode with seed 0"),
    ],
)
def test_what_an_environment_raises_is_its_own(env: type[Whole], says: str, got: str) -> None:
    error = played(env)
    assert says in error.message
    assert got in (error.got or "")
    if "(" in got:
        assert f"{__file__}:" in (error.got or "") or env is NoReward
    assert error.hint is not None
    assert "OldGymApi" not in error.hint


@pytest.mark.parametrize("env", [OldReset, NoSeed, ObservationAlone, TwoNumbers, FourThings])
def test_an_old_interface_is_named(env: type[Whole]) -> None:
    error = played(env)
    assert "does not follow gymnasium's interface" in error.message
    assert "--wrapper OldGymApi" in (error.hint or "")


@pytest.mark.parametrize("env", [OldReset, NoSeed, ObservationAlone, TwoNumbers, FourThings, BadStep, BadReward])
def test_trying_out_finds_it_before_anything_is_written(env: type[Whole]) -> None:
    with pytest.raises(EnvironmentFailedError):
        try_out(env)


def test_a_whole_environment_is_tried_out_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    try_out(Whole)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("env", [NoConstructor, BadReset, OldReset, FourThings])
def test_looking_for_determinism_and_for_observations_blames_it_too(env: type[Whole]) -> None:
    with pytest.raises(EnvironmentFailedError):
        ignores_seed(env)
    with pytest.raises(EnvironmentFailedError):
        visited(env, lambda _: 0, count=3, seed=0, purpose="test")


def test_the_place_is_the_last_line_of_the_traceback() -> None:
    error = played(BadStep)
    with open(__file__) as source:
        line = next(n for n, text in enumerate(source, 1) if '["speed"]' in text)
    assert error.got == f"KeyError: 'speed' ({__file__}:{line}, in step)"


def test_an_error_without_a_traceback_has_no_place() -> None:
    assert place_of(ValueError("x\ny")) == "ValueError: y"
    assert place_of(ValueError()) == "ValueError"
    assert not is_old_gym(ValueError("not enough values to unpack (expected 5, got 4)"))


def test_spaces_that_raise_or_are_missing() -> None:
    class Nothing(Whole):
        observation_space = property(lambda self: self.unknown)  # type: ignore[assignment]

    with pytest.raises(EnvironmentFailedError, match="observation_space failed"):
        spaces_in(Nothing())

    class Empty(Whole):
        observation_space = None  # type: ignore[assignment]

    with pytest.raises(InputError, match="observation_space is not a Gymnasium space"):
        spaces_in(Empty())
    with pytest.raises(EnvironmentFailedError, match="constructor failed"):
        step_limit(NoConstructor)


def test_an_error_within_comes_before_that_of_closing() -> None:
    with pytest.raises(ZeroDivisionError), opened(BadClose):
        raise ZeroDivisionError


def test_an_actor_s_error_is_not_the_environment_s() -> None:
    def act(_: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_episode(Whole(), act, 0)
    with pytest.raises(EnvironmentFailedError):
        run_episode(BadStep(), random_actor(BadStep(), 0), 0)


def test_a_library_that_calls_environments_is_seen_through() -> None:
    vector = DummyVecEnv([BadStep])
    vector.reset()
    with pytest.raises(KeyError) as stepped:
        vector.step(np.array([0]))
    found = failure_within(stepped.value)
    assert found is not None
    assert "step() failed" in found.message
    with pytest.raises(KeyError) as caught:
        {}["speed"]
    assert failure_within(caught.value) is None
    assert failure_within(failure_of(ValueError("x"), "step()")) is None
