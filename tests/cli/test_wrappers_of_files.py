"""Wrappers of an agent's files under ``--env``, and the advice that errors give: each is typed as it stands."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import gymnasium
import pytest
import torch
from stable_baselines3 import PPO

from policypress import compress, evaluate
from policypress.cli.agent_options import AgentOptions
from policypress.environments.making import make
from policypress.environments.trust import user_environment
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress.measurement.evaluation import Evaluation
from policypress.training_package import TrainingRequest
from policypress_runtime.contract import EnvironmentSpec, WrapperSpec
from policypress_runtime.errors import InputError, SpaceMismatchError
from policypress_train.hyperparameters.preparing import prepare
from policypress_train.trainer import TrainOptions, train

SETTINGS = {"frame_stack": 4, "n_steps": 32, "n_envs": 1, "batch_size": 32}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``policypress train ppo CartPole-v1 --set frame_stack=4`` leaves."""
    zipped = tmp_path_factory.mktemp("trained") / "agent.zip"
    prepared = prepare(
        TrainingRequest(
            "ppo", user_environment("CartPole-v1"), steps=64, seed=0, overrides=tuple(SETTINGS.items()), update="fast"
        )
    )
    train(prepared.spec, zipped, options=TrainOptions(evaluate_every=0))
    return zipped


def typed(agent: Path, *arguments: str) -> Evaluation:
    """``policypress evaluate AGENT ARGUMENTS --episodes 1``."""
    given: dict[str, list[str]] = {"--env": [], "--env-kwargs": [], "--wrapper": []}
    for option, value in zip(arguments[::2], arguments[1::2], strict=True):
        given[option].append(value)
    env = given["--env"][0] if given["--env"] else None
    said = AgentOptions(env=env, env_kwargs=given["--env-kwargs"], wrapper=given["--wrapper"]).stated(str(agent))
    return evaluate(agent, env=said.environment, overrides=said.overrides, episodes=1)


def followed(agent: Path, error: InputError) -> Evaluation:
    """The first options that the error's advice holds, typed."""
    assert error.hint is not None
    words = shlex.split(error.hint[error.hint.index("--env") :])
    arguments: list[str] = []
    while words and words[0].startswith("--"):
        value = words[1].rstrip(".;")
        arguments += [words[0], value.removesuffix(")") if value.count(")") > value.count("(") else value]
        words = words[2:]
    return typed(agent, *arguments)


def test_our_own_trainings_are_evaluated_with_and_without_naming_the_environment(trained: Path) -> None:
    plain, named = typed(trained), typed(trained, "--env", "CartPole-v1")
    assert [row.episode_return for row in plain.episodes] == [row.episode_return for row in named.episodes]
    assert any("frame_stack(n_stack=4)" in notice and "--wrapper none" in notice for notice in named.notices)
    assert plain.environment.wrappers == named.environment.wrappers != ()
    assert evaluate(trained, env="CartPole-v1", episodes=1).environment == named.environment
    seen = agent_in_environment(trained, env=user_environment("CartPole-v1"), needs_environment=False)
    assert seen.policy.origin.caller_supplies == ("frame_stack",)


def test_compress_and_its_artifacts_too(trained: Path, tmp_path: Path) -> None:
    done = compress(trained, ["int8"], env="CartPole-v1", output=tmp_path, episodes=1, executor="debug", costs=False)
    assert not done.outcome.failed
    artifact = next(tmp_path.rglob("none.onnx"))
    assert evaluate(artifact, env="CartPole-v1", episodes=1).environment.wrappers[0].name == "frame_stack"
    again = compress(
        artifact, ["none"], env="CartPole-v1", output=tmp_path / "b", episodes=1, executor="debug", costs=False
    )
    assert not again.outcome.failed


def test_none_drops_them_and_the_advice_brings_them_back(trained: Path) -> None:
    with pytest.raises(SpaceMismatchError) as caught:
        typed(trained, "--env", "CartPole-v1", "--wrapper", "none")
    assert "--wrapper 'frame_stack(n_stack=4)'" in (caught.value.hint or "")
    assert followed(trained, caught.value).environment.wrappers == typed(trained).environment.wrappers


@pytest.mark.parametrize("options", [[], ["--env", "CartPole-v1"]])
def test_the_zip_alone_is_refused_with_advice_that_works(trained: Path, tmp_path: Path, options: list[str]) -> None:
    alone = tmp_path / "ppo-CartPole-v1.zip"
    shutil.copy(trained, alone)
    with pytest.raises(SpaceMismatchError) as caught:
        typed(alone, *options)
    assert followed(alone, caught.value).environment.wrappers[0].name == "frame_stack"


def test_wrappers_that_do_not_fit_another_environment_are_left_out_and_told(trained: Path, tmp_path: Path) -> None:
    class Stacked(gymnasium.wrappers.FlattenObservation):  # type: ignore[type-arg]
        pass

    gymnasium.register(
        "StackedCartPole-v0",
        lambda: Stacked(gymnasium.wrappers.FrameStackObservation(gymnasium.make("CartPole-v1"), 4)),
    )
    try:
        found = typed(trained, "--env", "StackedCartPole-v0")
    finally:
        del gymnasium.registry["StackedCartPole-v0"]
    assert found.environment.wrappers == ()
    assert any("not applied: frame_stack(n_stack=4)" in notice for notice in found.notices)


def test_the_advice_for_a_time_feature_works(tmp_path: Path) -> None:
    env = make(EnvironmentSpec("CartPole-v1", wrappers=(WrapperSpec("TimeFeatureWrapper"),)))
    torch.manual_seed(0)
    PPO("MlpPolicy", env, n_steps=64, device="cpu").save(tmp_path / "ppo-CartPole-v1.zip")
    with pytest.raises(SpaceMismatchError) as caught:
        typed(tmp_path / "ppo-CartPole-v1.zip", "--env", "CartPole-v1")
    assert followed(tmp_path / "ppo-CartPole-v1.zip", caught.value).environment.wrappers[0].name == "TimeFeatureWrapper"
