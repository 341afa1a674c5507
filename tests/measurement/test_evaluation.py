"""Evaluating artifacts and agents: the same seeds, the same episodes, the reason where it is impossible."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from small_policies import ACTIONS, KINDS, Policy, mlp, observations_of, tensors_of

from policypress.environments.batches import stack
from policypress.measurement.agent_in_environment import UNBOUNDED_STEPS, agent_in_environment, cut_notice
from policypress.measurement.evaluation import evaluate, runtime_of
from policypress.measurement.statistics import Missing
from policypress.records import EpisodeRecord
from policypress.seeding import EVALUATION, episode_seeds
from policypress.writers.onnx_writer import contract_of, embed_contract, to_onnx
from policypress_runtime.contract import Box, EnvironmentSpec, Quantity
from policypress_runtime.errors import (
    AgentError,
    ArtifactError,
    EnvironmentInputError,
    NativeBuildError,
    ObservationError,
    ParityError,
    SpaceMismatchError,
)
from policypress_runtime.runtimes.native.native_runtime import NativeRuntime
from policypress_runtime.toolchain.compiler import find_compiler


class Counting(gym.Env[Any, Any]):
    """Five steps; the reward is the first component of the action, so that it shows who acted on what."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (5,), np.float32)
    action_space = gym.spaces.Box(np.array([-0.4, -2, 0.1], np.float32), np.array([0.4, 1, 7.3], np.float32))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self._observation(), {}

    def _observation(self) -> Any:
        return self.np_random.normal(size=5).astype(np.float32)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self._observation(), float(action[0]), self.steps == 5, False, {}


class Endless(Counting):
    """The same without an end."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self._observation(), 1.0, False, False, {}


def written(policy: Policy, path: Path) -> Path:
    model = to_onnx(policy)
    embed_contract(model, contract_of(policy, "none", "", "fp32", "0"))
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("action", ["box", "discrete"])
def test_runtime_of_a_policy(kind: str, action: str) -> None:
    policy = KINDS[kind](ACTIONS[action])
    observations = observations_of(policy.observation_space, 10)
    with torch.no_grad():
        want = policy(tensors_of(observations)).numpy()
    runtime = runtime_of(policy)
    np.testing.assert_allclose(runtime.act_batch(observations), want, atol=1e-5)
    assert runtime.contract.recipe == "none"
    assert runtime.contract.precision == "fp32"


def test_agent_artifact_and_policy_play_the_same_episodes(own_agents: Path, tmp_path: Path) -> None:
    path = own_agents / "dqn-CartPole-v1.zip"
    policy = agent_in_environment(path).policy
    by_file = evaluate(path, episodes=3, max_steps=60)
    by_policy = evaluate(policy, episodes=3, max_steps=60)
    by_artifact = evaluate(written(policy, tmp_path / "policy.onnx"), episodes=3, max_steps=60)

    def played(rows: tuple[EpisodeRecord, ...]) -> list[tuple[int, float, int, str]]:
        return [(r.seed, r.episode_return, r.length, r.ending) for r in rows]

    assert played(by_file.episodes) == played(by_policy.episodes) == played(by_artifact.episodes)
    assert [row.seed for row in by_file.episodes] == list(episode_seeds(0, EVALUATION, 3))
    assert by_file.environment == by_artifact.environment == EnvironmentSpec("CartPole-v1")
    assert by_file.episodes[0].length == 60
    assert by_file.episodes[0].ending == "step_limit"
    assert by_file.protocol.max_steps == 60


def test_more_episodes_extend_fewer() -> None:
    few = evaluate(mlp(), env=Counting, episodes=2)
    many = evaluate(mlp(), env=Counting, episodes=6)
    for left, right in zip(few.episodes, many.episodes, strict=False):
        assert (left.seed, left.episode_return) == (right.seed, right.episode_return)
    other = evaluate(mlp(), env=Counting, episodes=2, seed=1)
    assert {r.seed for r in other.episodes}.isdisjoint({r.seed for r in many.episodes})


def test_the_mean_is_that_of_the_episodes() -> None:
    seen: list[EpisodeRecord] = []
    result = evaluate(mlp(), env=Counting, episodes=8, on_episode=seen.append)
    assert tuple(seen) == result.episodes
    assert isinstance(result.mean, Quantity)
    returns = [row.episode_return for row in result.episodes]
    assert result.mean.mean == pytest.approx(np.mean(returns))
    assert result.mean.lower < result.mean.mean < result.mean.upper
    assert result.mean.count == 8
    assert {row.length for row in result.episodes} == {5}
    assert {row.ending for row in result.episodes} == {"terminated"}


def test_one_episode_has_no_interval() -> None:
    assert isinstance(evaluate(mlp(), env=Counting, episodes=1).mean, Missing)


def test_endless_environments_stop_at_the_limit() -> None:
    result = evaluate(mlp(), env=Endless, episodes=2, max_steps=13)
    assert [(r.length, r.ending, r.episode_return) for r in result.episodes] == [(13, "step_limit", 13.0)] * 2


def test_artifact_in_the_user_s_own_environment(tmp_path: Path) -> None:
    path = written(mlp(), tmp_path / "policy.onnx")
    by_artifact = evaluate(path, env=Counting, episodes=3)
    by_policy = evaluate(mlp(), env=Counting, episodes=3)
    np.testing.assert_allclose(
        [r.episode_return for r in by_artifact.episodes], [r.episode_return for r in by_policy.episodes], atol=1e-5
    )
    assert by_artifact.name == str(path)
    assert by_artifact.environment.id.endswith("Counting")


def test_what_cannot_be_played(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentInputError, match=r"not known[\s\S]*--env"):
        evaluate(mlp(), episodes=1)
    path = written(mlp(), tmp_path / "policy.onnx")
    with pytest.raises(EnvironmentInputError, match=r"not known[\s\S]*--env"):
        evaluate(path, episodes=1)
    with pytest.raises(SpaceMismatchError):
        evaluate(path, env="CartPole-v1", episodes=1)
    with pytest.raises(SpaceMismatchError):
        evaluate(written(mlp(ACTIONS["discrete"]), path), env=Counting, episodes=1)
    with pytest.raises((ArtifactError, AgentError)):
        evaluate(tmp_path / "absent.onnx", episodes=1)
    with pytest.raises(AgentError):
        evaluate(tmp_path / "absent.zip", episodes=1)


def test_a_damaged_artifact_is_an_error_of_its_own(tmp_path: Path) -> None:
    """Neither an artifact nor an ONNX agent: the user is told, nothing is played."""
    path = tmp_path / "policy.onnx"
    path.write_bytes(b"not onnx")
    with pytest.raises((ArtifactError, AgentError)):
        evaluate(path, env=Counting, episodes=1)


@pytest.fixture
def _native(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own; skipped where nothing can be built."""
    try:
        find_compiler()
    except NativeBuildError as error:
        pytest.skip(str(error))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.usefixtures("_native")
def test_the_runtime_stands_in_the_protocol(tmp_path: Path) -> None:
    path = written(mlp(), tmp_path / "a.onnx")
    native = evaluate(path, episodes=3, env=Counting, runtime="native")
    reference = evaluate(path, episodes=3, env=Counting, runtime="onnxruntime")
    assert (native.protocol.runtime, reference.protocol.runtime) == ("native", "onnxruntime")
    for got, want in zip(native.episodes, reference.episodes, strict=True):
        assert got.episode_return == pytest.approx(want.episode_return, abs=1e-4)
    again = evaluate(mlp(), episodes=3, env=Counting, runtime="native")
    assert [e.episode_return for e in again.episodes] == [e.episode_return for e in native.episodes]


@pytest.mark.usefixtures("_native")
def test_a_native_build_that_does_something_else_is_not_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(mlp(), tmp_path / "a.onnx")
    right = NativeRuntime.run_batch
    monkeypatch.setattr(
        NativeRuntime, "run_batch", lambda self, given: {name: v + 0.01 for name, v in right(self, given).items()}
    )
    with pytest.raises(ParityError):
        evaluate(path, episodes=1, env=Counting, runtime="native")


def test_without_a_compiler_there_is_a_notice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.delenv("POLICYPRESS_RUNTIME", raising=False)
    found = evaluate(written(mlp(), tmp_path / "a.onnx"), episodes=1, env=Counting)
    assert found.protocol.runtime == "onnxruntime"
    assert any("no C compiler" in notice for notice in found.notices)


def test_episodes_that_nobody_limited_are_told() -> None:
    rows = [EpisodeRecord(seed, 1.0, UNBOUNDED_STEPS, ending, 0.0) for seed, ending in enumerate(_ENDINGS)]
    (told,) = cut_notice(rows, None)
    assert told.startswith(f"1 of 3 episodes were cut after {UNBOUNDED_STEPS} steps")
    assert "--max-steps" in told
    assert cut_notice(rows, 500) == ()
    assert cut_notice(rows[:2], None) == ()


_ENDINGS: tuple[Any, ...] = ("terminated", "truncated", "step_limit")


def test_numbers_beyond_float32_are_refused_without_a_warning() -> None:
    runtime = runtime_of(mlp(algorithm="sac"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ObservationError, match="not finite"):
            runtime.act(np.full(5, 1e300))
        stacked = stack([np.full(5, 1e300)], Box((5,), "float32", (-np.inf,), (np.inf,)))
    assert caught == []
    assert np.isinf(stacked).all()
