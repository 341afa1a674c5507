"""Statistics around an agent: the one that is its own is used and told; what is doubtful is refused and lists them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from normalised_agents import NormalisedAgent, normalised_agent, normaliser, other_statistics
from stable_baselines3.common.vec_env import VecNormalize

from policypress.agents.loading import load_agent
from policypress.agents.overrides import NO_OVERRIDES, Overrides
from policypress.policy.importers.from_agent import policy_from_agent
from policypress_runtime.errors import AgentError, DamagedAgentError, UndeterminedAgentError, UnsafeAgentError


def acts(source: Path, agent: NormalisedAgent, normalizer: str | None = None) -> np.ndarray[Any, Any]:
    overrides = NO_OVERRIDES if normalizer is None else Overrides(normalizer=normalizer)
    policy = policy_from_agent(load_agent(source, overrides=overrides))
    with torch.no_grad():
        return policy(torch.from_numpy(agent.observations())).numpy()


def is_normalised(source: Path, agent: NormalisedAgent, normalizer: str | None = None) -> bool:
    """Whether the agent read acts as behind its normaliser; it must act as without one otherwise."""
    got, observations = acts(source, agent, normalizer), agent.observations()
    if np.allclose(got, agent.expected(observations), atol=1e-5):
        return True
    np.testing.assert_allclose(got, agent.plain(observations), atol=1e-5)
    return False


def test_the_agent_tells_a_normaliser_from_none() -> None:
    agent = normalised_agent()
    assert np.abs(agent.expected(agent.observations()) - agent.plain(agent.observations())).max() > 0.1


# The zip, and where its statistics lie.
TOLD = [
    ("rl_model_1000_steps.zip", "rl_model_vecnormalize_1000_steps.pkl"),
    ("best_model.zip", "best_vecnorm.pkl"),
    ("model.zip", "vec_normalize_v13.pkl"),
    ("ppo_v13.zip", "vec_normalize_v13.pkl"),
    ("best_model/best_model.zip", "vecnormalize.pkl"),
    ("run/checkpoints/ppo_2000_steps.zip", "run/vecnormalize.pkl"),
    ("final_model.zip", "vec_norm.pickle"),
    ("final_model.zip", "vec_norm.pk"),
    ("final_model.zip", "vec_norm"),
    ("Hopper-v4.zip", "normalizer_2.pkl"),
    ("agent.zip", "env.pkl"),
    ("agent.zip", "agent/saved_env"),
    ("agent.zip", "agent/vecnormalize.pkl"),
]


@pytest.mark.parametrize(("name", "statistics"), TOLD)
def test_statistics_under_any_name_are_used_and_told(tmp_path: Path, name: str, statistics: str) -> None:
    agent = normalised_agent()
    source = agent.write(tmp_path / "x" / name)
    assert not is_normalised(source, agent)
    file = tmp_path / "x" / statistics
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(agent.pickled)
    assert is_normalised(source, agent)
    bundle = load_agent(source)
    assert any(str(file) in notice for notice in bundle.notices)
    assert bundle.assumptions == ()
    assert not is_normalised(source, agent, "none")
    assert is_normalised(source, agent, str(file))


@pytest.mark.parametrize("protocol", [3, 5])
def test_other_protocols(tmp_path: Path, protocol: int) -> None:
    agent = normalised_agent()
    source = agent.write(tmp_path / "x" / "a.zip")
    (tmp_path / "x" / "anything").write_bytes(pickle.dumps(agent.layer, protocol))
    assert is_normalised(source, agent)


def test_a_relative_path_sees_the_folder_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = normalised_agent()
    source = agent.write(tmp_path / "run" / "best_model" / "best_model.zip")
    (tmp_path / "run" / "v.pkl").write_bytes(agent.pickled)
    monkeypatch.chdir(source.parent)
    assert is_normalised(Path("best_model.zip"), agent)


def test_each_checkpoint_has_the_statistics_of_its_own_step(tmp_path: Path) -> None:
    agent = normalised_agent()
    for step in (1000, 2000, 3000):
        agent.write(tmp_path / f"rl_model_{step}_steps.zip")
    (tmp_path / "rl_model_vecnormalize_1000_steps.pkl").write_bytes(agent.pickled)
    (tmp_path / "rl_model_vecnormalize_2000_steps.pkl").write_bytes(other_statistics())
    assert is_normalised(tmp_path / "rl_model_1000_steps.zip", agent)
    with pytest.raises(UndeterminedAgentError, match=r"1000_steps\.pkl[\s\S]*2000_steps\.pkl[\s\S]*--normalizer FILE"):
        load_agent(tmp_path / "rl_model_3000_steps.zip")
    agent.write(tmp_path / "final_model.zip")
    with pytest.raises(UndeterminedAgentError, match="final_model"):
        load_agent(tmp_path / "final_model.zip")
    # The final model's own, without a step.
    (tmp_path / "vecnormalize.pkl").write_bytes(agent.pickled)
    assert is_normalised(tmp_path / "final_model.zip", agent)
    assert is_normalised(tmp_path / "rl_model_1000_steps.zip", agent)
    with pytest.raises(UndeterminedAgentError):
        load_agent(tmp_path / "rl_model_3000_steps.zip")


def test_agents_beside_each_other_with_statistics_of_their_names(tmp_path: Path) -> None:
    agent = normalised_agent()
    for name in ("walker", "hopper"):
        agent.write(tmp_path / f"{name}.zip")
    (tmp_path / "walker_vecnormalize.pkl").write_bytes(agent.pickled)
    (tmp_path / "hopper_vecnormalize.pkl").write_bytes(other_statistics())
    assert is_normalised(tmp_path / "walker.zip", agent)
    # In folders of their names, as `train` writes them.
    for name, content in (("walker", other_statistics()), ("hopper", agent.pickled)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vecnormalize.pkl").write_bytes(content)
    assert is_normalised(tmp_path / "hopper.zip", agent)
    assert not np.allclose(acts(tmp_path / "walker.zip", agent), agent.expected(agent.observations()), atol=1e-3)


# The zip asked for, its neighbours, and the statistics, each with its size: nothing of this is certain.
DOUBTFUL = [
    ("a.zip", ("b.zip",), {"vecnormalize.pkl": 3}),
    ("a.zip", ("b.zip",), {"b_vecnormalize.pkl": 3}),
    ("a.zip", (), {"one.pkl": 3, "two.pkl": 3}),
    ("rl_model_1000_steps.zip", (), {"rl_model_vecnormalize_2000_steps.pkl": 3}),
    ("rl_model_1000_steps.zip", ("rl_model_2000_steps.zip",), {"vecnormalize.pkl": 3}),
    ("ppo_v12.zip", (), {"vec_normalize_v13.pkl": 3}),
    ("best_model.zip", (), {"final_vecnorm.pkl": 3}),
    ("hopper/hopper.zip", (), {"vecnormalize.pkl": 3}),
    ("best_model/best_model.zip", (), {"one.pkl": 3, "two.pkl": 3}),
    ("models/a.zip", ("models/b.zip",), {"vecnormalize.pkl": 3}),
    ("a.zip", (), {"vec_normalize.pkl": 4, "other_norm.pkl": 5}),
]


@pytest.mark.parametrize(("name", "others", "statistics"), DOUBTFUL)
def test_what_is_doubtful_is_refused_and_both_ways_on_work(
    tmp_path: Path, name: str, others: tuple[str, ...], statistics: dict[str, int]
) -> None:
    agent = normalised_agent()
    folder = tmp_path / "x"
    source = agent.write(folder / name)
    for other in others:
        agent.write(folder / other)
    for file, size in statistics.items():
        (folder / file).write_bytes(agent.pickled if size == 3 else other_statistics(size))
    with pytest.raises(UndeterminedAgentError, match=r"--normalizer FILE .*--normalizer none") as caught:
        load_agent(source)
    assert all(str(folder / file) in str(caught.value) for file in statistics)
    assert not is_normalised(source, agent, "none")
    right = tmp_path / "right.pkl"
    right.write_bytes(agent.pickled)
    assert is_normalised(source, agent, str(right))


def test_one_of_fitting_shape_among_others(tmp_path: Path) -> None:
    agent = normalised_agent()
    source = agent.write(tmp_path / "x" / "a.zip")
    (tmp_path / "x" / "old.pkl").write_bytes(other_statistics(4))
    with pytest.raises(DamagedAgentError, match=r"do not fit[\s\S]*\(4,\)[\s\S]*--normalizer none"):
        load_agent(source)
    (tmp_path / "x" / "new.pkl").write_bytes(agent.pickled)
    assert is_normalised(source, agent)


def test_what_does_not_fit_and_is_a_neighbours_is_no_reason_to_refuse(tmp_path: Path) -> None:
    agent = normalised_agent()
    source = agent.write(tmp_path / "x" / "a.zip")
    agent.write(tmp_path / "x" / "b.zip")
    (tmp_path / "x" / "b_vecnormalize.pkl").write_bytes(other_statistics(4))
    (tmp_path / "vecnormalize.pkl").write_bytes(other_statistics(5))
    assert not is_normalised(source, agent)
    assert load_agent(source).assumptions


def test_a_checkpoint_beside_the_zoos_folder(tmp_path: Path) -> None:
    agent = normalised_agent()
    source = agent.write(tmp_path / "rl_model_1000_steps.zip")
    (tmp_path / "My-v1").mkdir()
    (tmp_path / "My-v1" / "config.yml").write_text("normalize: true\n")
    (tmp_path / "My-v1" / "vecnormalize.pkl").write_bytes(agent.pickled)
    with pytest.raises(UndeterminedAgentError, match=r"My-v1/vecnormalize\.pkl"):
        load_agent(source)
    assert is_normalised(source, agent, str(tmp_path / "My-v1" / "vecnormalize.pkl"))


def test_statistics_of_rewards_alone_settle_it(tmp_path: Path) -> None:
    agent = normalised_agent()
    source = agent.write(tmp_path / "x" / "a.zip")
    layer = normaliser(agent.layer.observation_space)
    layer.norm_obs = False
    (tmp_path / "x" / "v.pkl").write_bytes(pickle.dumps(layer))
    assert not is_normalised(source, agent)
    assert load_agent(source).assumptions == ()


class OwnNormaliser(VecNormalize):
    """A class of the user's own, whose ways nobody knows here."""


@pytest.mark.parametrize("kind", ["subclass", "sb2", "pointer", "whole", "compressed"])
def test_statistics_that_cannot_be_read_are_not_taken_as_absent(tmp_path: Path, kind: str) -> None:
    agent = normalised_agent()
    source = agent.write(tmp_path / "x" / "a.zip")
    file = tmp_path / "x" / "vec_norm.pkl"
    own = normaliser(agent.layer.observation_space)
    own.__class__ = OwnNormaliser
    content = {
        "subclass": pickle.dumps(own),
        "sb2": agent.pickled.replace(b"stable_baselines3.common.vec_env", b"stable_baselines_.common.vec_env"),
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
        "whole": pickle.dumps({"env": agent.layer, "note": "mine"}),
        "compressed": b"\x1f\x8b\x08 not a pickle",
    }[kind]
    file.write_bytes(content)
    with pytest.raises(AgentError, match=r"vec_norm\.pkl[\s\S]*--normalizer FILE .*--normalizer none"):
        load_agent(source)
    (tmp_path / "x" / "right.pkl").write_bytes(agent.pickled)
    with pytest.raises(UndeterminedAgentError, match=r"right\.pkl[\s\S]*vec_norm\.pkl \(cannot be read"):
        load_agent(source)
    assert is_normalised(source, agent, str(tmp_path / "x" / "right.pkl"))
    assert not is_normalised(source, agent, "none")


def test_nothing_in_them_runs(tmp_path: Path) -> None:
    agent = normalised_agent()
    canary = tmp_path / "canary"
    source = agent.write(tmp_path / "x" / "a.zip")
    (tmp_path / "x" / "my_normalizer").write_text(f"cos\nsystem\n(S'touch {canary}'\ntR.")
    with pytest.raises(UnsafeAgentError, match="--normalizer none"):
        load_agent(source)
    with pytest.raises(UnsafeAgentError):
        load_agent(source, overrides=Overrides(normalizer=str(tmp_path / "x" / "my_normalizer")))
    assert not canary.exists()
    assert not is_normalised(source, agent, "none")


def test_what_the_user_names_must_be_there_and_fit(tmp_path: Path) -> None:
    agent = normalised_agent()
    source = agent.write(tmp_path / "x" / "a.zip")
    with pytest.raises(AgentError, match=r"no .*v\.pkl[\s\S]*a\.zip[\s\S]*VecNormalize\.save"):
        load_agent(source, overrides=Overrides(normalizer=str(tmp_path / "x" / "v.pkl")))
    wrong = tmp_path / "wrong.pkl"
    wrong.write_bytes(other_statistics(4))
    with pytest.raises(DamagedAgentError, match="do not fit"):
        load_agent(source, overrides=Overrides(normalizer=str(wrong)))
    with pytest.raises(AgentError):
        load_agent(source, overrides=Overrides(normalizer=str(source)))
