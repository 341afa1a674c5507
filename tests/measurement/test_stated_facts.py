"""Options that several files share: each file gets what is of use for it, and nothing is left aside without a word."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_policies import mlp

from policypress.agents.bundle import Activation
from policypress.agents.loading import load_agent
from policypress.agents.overrides import NO_OVERRIDES, Overrides
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress.measurement.costs.latency import benchmark
from policypress.measurement.evaluation import evaluate, model_of
from policypress.measurement.stated_facts import shared_between
from policypress.writers.onnx_writer import to_onnx
from policypress_runtime.errors import AgentError, EnvironmentInputError, InputError

TANH = Overrides(activation=Activation("tanh"))
EVERY = [
    TANH,
    Overrides(cnn_strides=(4, 2)),
    Overrides(normalizer="there.pkl"),
    Overrides(output_name="action"),
    Overrides(discrete_actions=2),
    Overrides(scale_actions=True),
    Overrides(check="pairs.npz"),
]


@pytest.fixture
def agent(tmp_path: Path, own_agents: Path) -> Path:
    return Path(shutil.copy(own_agents / "dqn-CartPole-v1.zip", tmp_path / "agent.zip"))


@pytest.fixture
def artifact(agent: Path) -> Path:
    path = agent.with_name("artifact.onnx")
    path.write_bytes(model_of(agent_in_environment(agent).policy))
    return path


@pytest.mark.parametrize("stated", EVERY)
def test_an_artifact_acts_as_it_is(stated: Overrides, artifact: Path) -> None:
    with pytest.raises(AgentError, match="is run as it is"):
        evaluate(artifact, env="CartPole-v1", episodes=1, overrides=stated)
    with pytest.raises(AgentError, match="is run as it is"):
        benchmark([artifact], samples=10, cold_samples=10, overrides=stated)


@pytest.mark.parametrize("stated", EVERY)
def test_what_is_read_already_takes_nothing_but_pairs(stated: Overrides, agent: Path) -> None:
    bundle = load_agent(agent)
    for read in (bundle, agent_in_environment(bundle).policy):
        with pytest.raises(InputError, match="pairs" if stated.check else "is read already"):
            agent_in_environment(read, overrides=stated)


def test_that_an_artifact_has_no_normaliser_may_be_said(artifact: Path, agent: Path) -> None:
    none = Overrides(normalizer="none")
    benchmark([artifact], samples=10, cold_samples=10, overrides=none)
    assert shared_between([artifact, agent], none) == ((none, none), ())


def test_each_of_several_files_gets_what_is_of_use_for_it(artifact: Path, agent: Path) -> None:
    assert shared_between([artifact, agent], NO_OVERRIDES) == ((NO_OVERRIDES, NO_OVERRIDES), ())
    given, notices = shared_between([artifact, agent], TANH)
    assert given == (NO_OVERRIDES, TANH)
    assert [notice.endswith("is run as it is: --activation counts for the other files.") for notice in notices] == [
        True
    ]
    # A file from elsewhere, without a contract.
    foreign = artifact.with_name("foreign.onnx")
    foreign.write_bytes(to_onnx(mlp()).SerializeToString())
    named = Overrides(output_name="action", normalizer="none")
    given, _ = shared_between([foreign, agent], named)
    assert given == (named, Overrides(normalizer="none"))
    with pytest.raises(AgentError, match="applies to none of the files") as refused:
        shared_between([artifact, agent], Overrides(output_name="action", activation=Activation("tanh")))
    assert refused.value.got == "--output-name"


def test_benchmarks_of_artifacts_alone_take_no_environment(artifact: Path, agent: Path) -> None:
    with pytest.raises(EnvironmentInputError, match="policypress evaluate"):
        benchmark([artifact], samples=10, cold_samples=10, env="CartPole-v1")
    benchmark([artifact, agent], samples=10, cold_samples=10, env="CartPole-v1")
