"""A training goes on with the normaliser of the agent that it starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from policypress.training_package import TrainingRequest
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import DamagedAgentError, TrainingInputError, UndeterminedAgentError
from policypress_train.fine_tuning import load_networks
from policypress_train.hyperparameters.preparing import prepare
from policypress_train.qat.config import QatConfig
from policypress_train.trainer import TrainOptions, train
from policypress_train.vector_envs.making import learning_environments, normaliser
from policypress_train.vector_envs.normalisation import load_statistics, statistics_of
from quantized_agents import Pictures, untrained

SMALL = [("n_steps", 16), ("n_envs", 1), ("batch_size", 16), ("n_epochs", 1), ("net_arch", [8])]


def layer_of(**arguments: Any) -> VecNormalize:
    return VecNormalize(make_vec_env("CartPole-v1", 2, seed=0), **arguments)


def seen(layer: VecNormalize, steps: int = 20) -> VecNormalize:
    """After it has seen something."""
    layer.reset()
    for step in range(steps):
        layer.step(np.full(layer.num_envs, step % 2))
    return layer


def saved(layer: VecNormalize, agent: Path, name: str = "vecnormalize.pkl") -> Path:
    """The zip of an agent whose statistics are those of ``layer``."""
    agent.with_suffix("").mkdir()
    layer.save(str(agent.with_suffix("") / name))
    return agent


def test_statistics_of_observations_and_returns_are_taken_over_to_the_bit(tmp_path: Path) -> None:
    old, new = seen(layer_of()), layer_of()
    load_statistics(new, saved(old, tmp_path / "agent.zip"))
    for ours, theirs in ((new.obs_rms, old.obs_rms), (new.ret_rms, old.ret_rms)):
        assert np.array_equal(ours.mean, theirs.mean)  # type: ignore[union-attr]
        assert np.array_equal(ours.var, theirs.var)  # type: ignore[union-attr]
        assert ours.count == theirs.count  # type: ignore[union-attr]


@pytest.mark.parametrize("training", [True, False])
def test_they_go_on_or_stay_as_stated(training: bool, tmp_path: Path) -> None:
    old, new = seen(layer_of()), layer_of(training=training)
    load_statistics(new, saved(old, tmp_path / "agent.zip"))
    seen(new)
    assert (new.obs_rms.count > old.obs_rms.count) == training  # type: ignore[union-attr]
    assert np.array_equal(new.obs_rms.mean, old.obs_rms.mean) != training  # type: ignore[union-attr]


def test_each_part_of_a_dict_has_its_own(tmp_path: Path) -> None:
    def made() -> VecNormalize:
        return VecNormalize(make_vec_env(lambda: Pictures("both", discrete=True)), norm_obs_keys=["vector"])

    old, new = seen(made(), 5), made()
    load_statistics(new, saved(old, tmp_path / "agent.zip"))
    assert np.array_equal(new.obs_rms["vector"].mean, old.obs_rms["vector"].mean)  # type: ignore[index]


def test_rewards_alone_may_be_normalised(tmp_path: Path) -> None:
    old, new = seen(layer_of(norm_obs=False)), layer_of(norm_obs=False)
    load_statistics(new, saved(old, tmp_path / "agent.zip"))
    assert new.ret_rms.var == old.ret_rms.var
    load_statistics(None, tmp_path / "agent.zip")


def test_the_file_is_found_where_it_is_written(tmp_path: Path) -> None:
    agent = tmp_path / "agent.zip"
    assert statistics_of(agent) is None
    (tmp_path / "vec_normalize.pkl").write_bytes(b"")
    assert statistics_of(agent) == tmp_path / "vec_normalize.pkl"
    saved(layer_of(), agent)
    assert statistics_of(agent) == tmp_path / "agent" / "vecnormalize.pkl"


@pytest.mark.parametrize("name", ["best_vecnorm.pkl", "anything.bin", "vec_normalize_v13.pkl"])
def test_the_file_is_found_by_what_is_in_it(name: str, tmp_path: Path) -> None:
    agent = tmp_path / "agent.zip"
    old, new = seen(layer_of()), layer_of()
    untrained("ppo", None, new).save(agent)
    assert statistics_of(agent) is None
    old.save(str(tmp_path / name))
    assert statistics_of(agent) == tmp_path / name
    load_statistics(new, agent)
    assert np.array_equal(new.obs_rms.mean, old.obs_rms.mean)  # type: ignore[union-attr]


def test_what_is_doubtful_is_an_error_and_the_option_that_it_names_settles_it(tmp_path: Path) -> None:
    agent = tmp_path / "agent.zip"
    old, other, new = seen(layer_of()), seen(layer_of(), 30), layer_of()
    untrained("ppo", None, new).save(agent)
    old.save(str(tmp_path / "one.pkl"))
    other.save(str(tmp_path / "two.pkl"))
    with pytest.raises(UndeterminedAgentError, match="--normalizer FILE"):
        statistics_of(agent)
    assert statistics_of(agent, str(tmp_path / "two.pkl")) == tmp_path / "two.pkl"
    assert statistics_of(agent, "none") is None
    more = [*SMALL, ("normalize", True)]
    with pytest.raises(UndeterminedAgentError, match="--normalizer FILE"):
        prepare(TrainingRequest("ppo", EnvironmentSpec("CartPole-v1"), steps=32, overrides=more, start_from=agent))
    stated = [
        prepare(
            TrainingRequest(
                "ppo",
                EnvironmentSpec("CartPole-v1"),
                steps=32,
                overrides=more,
                start_from=agent,
                start_normalizer=str(tmp_path / name),
            )
        ).spec
        for name in ("one.pkl", "two.pkl")
    ]
    assert stated[0].start_sha256 != stated[1].start_sha256
    load_statistics(new, agent, stated[1].start_normalizer)
    assert np.array_equal(new.obs_rms.mean, other.obs_rms.mean)  # type: ignore[union-attr]
    with pytest.raises(TrainingInputError, match="--normalizer"):
        prepare(TrainingRequest("ppo", EnvironmentSpec("CartPole-v1"), steps=32, start_normalizer="none"))


@pytest.mark.parametrize(
    ("agent", "training", "named"),
    [
        (None, {}, "missing"),
        ({}, None, "normalize=true"),
        ({"norm_obs": False}, {}, "normalize=false"),
        ({"clip_obs": 5.0}, {}, "clip_obs 5"),
        ({"epsilon": 1e-3}, {}, "epsilon 0.001"),
    ],
)
def test_what_does_not_fit_is_refused(
    agent: dict[str, Any] | None, training: dict[str, Any] | None, named: str, tmp_path: Path
) -> None:
    path = tmp_path / "agent.zip"
    if agent is not None:
        saved(layer_of(**agent), path)
    new = None if training is None else layer_of(**training)
    with pytest.raises(TrainingInputError, match=named):
        load_statistics(new, path)


def test_other_observations_are_refused(tmp_path: Path) -> None:
    other = VecNormalize(make_vec_env("Pendulum-v1"))
    with pytest.raises(TrainingInputError, match=r"shape \(3,\)"):
        load_statistics(layer_of(), saved(other, tmp_path / "agent.zip"))


def test_a_damaged_file_is_an_error_of_the_reader(tmp_path: Path) -> None:
    (tmp_path / "vecnormalize.pkl").write_bytes(b"nothing")
    with pytest.raises(DamagedAgentError):
        load_statistics(layer_of(), tmp_path / "agent.zip")


def test_nothing_is_taken_over_from_an_agent_whose_networks_are_others(tmp_path: Path) -> None:
    untrained("ppo", net_arch=(8,)).save(tmp_path / "agent.zip")
    new = layer_of()
    saved(seen(layer_of()), tmp_path / "agent.zip")
    with pytest.raises(TrainingInputError, match="net_arch"):
        load_networks(untrained("ppo", None, new), tmp_path / "agent.zip")
    assert new.obs_rms.count < 1  # type: ignore[union-attr]


def test_a_normalised_agent_is_fine_tuned_from_its_own_files(tmp_path: Path) -> None:
    environment, more = EnvironmentSpec("CartPole-v1"), [*SMALL, ("normalize", True)]
    first = tmp_path / "first.zip"
    train(
        prepare(TrainingRequest("ppo", environment, steps=64, overrides=more)).spec,
        first,
        options=TrainOptions(evaluate_every=0),
    )
    spec = prepare(
        TrainingRequest("ppo", environment, steps=32, overrides=more, start_from=first, qat=QatConfig())
    ).spec
    train(spec, tmp_path / "second.zip", options=TrainOptions(evaluate_every=0))
    fresh = normaliser(learning_environments(spec))
    assert fresh is not None
    load_statistics(fresh, tmp_path / "second.zip")
    assert fresh.obs_rms.count > 64 + 32  # type: ignore[union-attr]
    statistics = tmp_path / "first" / "vecnormalize.pkl"
    statistics.write_bytes(statistics.read_bytes().replace(b"clip_obs", b"clip_abs"))
    changed = prepare(
        TrainingRequest("ppo", environment, steps=32, overrides=more, start_from=first, qat=QatConfig())
    ).spec
    assert changed.hash != spec.hash
