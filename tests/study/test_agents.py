"""The agents of a study: each once, with an identity that only what decides the agent changes."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_study import ROOT
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from policypress.agents.overrides import Overrides
from policypress.agents.stated_overrides import stated_overrides
from policypress.cli.agent_options import AgentOptions
from policypress.environments.trust import trusted_modules
from policypress.study.agents import PlannedAgent, planned_agents
from policypress.study.spec import Agents, read_spec, spec_of
from policypress.study.training_identity import _QAT_WORDS, training_identity
from policypress_runtime.contract import NO_NORMALISER_FOUND
from policypress_runtime.errors import PolicypressError, StudyInputError, TrainingInputError
from policypress_train.qat.config import QatConfig


def _spec(*agents: dict[str, Any], recipes: Any = "none") -> Any:
    return spec_of({"name": "x", "agents": list(agents), "recipes": recipes})


def _training(**changes: Any) -> dict[str, Any]:
    return {"train": {"algorithms": "ppo", "environments": "CartPole-v1", "steps": 100, "seeds": [0], **changes}}


def test_axes_of_a_training_are_a_grid(tmp_path: Path) -> None:
    spec = _spec(_training(algorithms=["ppo", "dqn"], environments=["CartPole-v1", "Acrobot-v1"], seeds="0..2"))
    agents = planned_agents(spec, tmp_path)
    assert len({agent.identity for agent in agents}) == len(agents) == 12
    assert {(a.algorithm, a.environment.id) for a in agents} == {
        (algorithm, environment) for algorithm in ("ppo", "dqn") for environment in ("CartPole-v1", "Acrobot-v1")
    }


def test_a_module_that_the_study_file_names_is_the_user_s_word_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    made = 'import gymnasium\ngymnasium.register("Mine-v0", "gymnasium.envs.classic_control:CartPoleEnv")\n'
    (tmp_path / "mine_of_study.py").write_text(made)
    named, known = planned_agents(_spec(_training(environments=["mine_of_study:Mine-v0", "CartPole-v1"])), tmp_path)
    assert named.stated is not None
    assert trusted_modules(named.stated) == ("mine_of_study",)
    assert named.training is not None
    assert named.training["environment"] == named.stated.to_json(), "what is hashed says the same"
    assert known.stated is None


def test_one_asked_for_twice_is_one_with_both_recipes(tmp_path: Path) -> None:
    spec = _spec({**_training(), "recipes": "ptdq"}, {**_training(), "recipes": "ptsq"})
    (agent,) = planned_agents(spec, tmp_path)
    assert agent.recipes == ("ptdq", "ptsq")


@pytest.mark.parametrize("update", ["fast", "native", "stock"])
def test_how_a_training_computes_is_not_its_identity(update: str, tmp_path: Path) -> None:
    grid = {"algorithms": ["sac", "ppo"], "environments": "Pendulum-v1"}
    plain = planned_agents(_spec(_training(**grid)), tmp_path)
    other = planned_agents(_spec(_training(**grid, update=update)), tmp_path)
    assert [agent.identity for agent in other] == [agent.identity for agent in plain]
    assert {(agent.training or {})["update"] for agent in other} == {update}


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": [1]},
        {"steps": 101},
        {"hyperparameters": {"gamma": 0.9}},
        {"qat": True},
        {"qat": {"per_channel": False}},
        {"sparse": {"alpha": 4.0}},
        {"prune": 0.5},
        {"episodes": 5},
        {"algorithms": "a2c"},
    ],
)
def test_what_decides_the_agent_changes_its_identity(tmp_path: Path, changes: dict[str, Any]) -> None:
    (first,) = planned_agents(_spec(_training()), tmp_path)
    if changes.get("algorithms") == "a2c":
        with pytest.raises(TrainingInputError, match="a2c"):
            planned_agents(_spec(_training(**changes)), tmp_path)
        return
    (second,) = planned_agents(_spec(_training(**changes)), tmp_path)
    assert first.identity != second.identity


def test_what_is_ready_comes_first_then_the_first_seed_of_everything(tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples" / "agents" / "dqn-CartPole-v1.zip", tmp_path / "one.zip")
    spec = _spec(_training(algorithms=["ppo", "dqn"], seeds="0..1"), {"files": "one.zip"})
    turns = [
        (agent.algorithm, None if agent.training is None else agent.training["seed"])
        for agent in planned_agents(spec, tmp_path)
    ]
    assert turns == [("dqn", None), ("ppo", 0), ("dqn", 0), ("ppo", 1), ("dqn", 1)]


def test_the_device_does_not() -> None:
    assert training_identity({"a": 1, "device": "cpu"}) == training_identity({"a": 1, "device": "cuda"})


def test_a_budget_in_episodes_and_a_publication_s_settings(tmp_path: Path) -> None:
    stated = {"algorithms": "dqn", "environments": "CartPole-v0", "published": "li2023", "seeds": [4], "qat": True}
    (agent,) = planned_agents(_spec({"train": stated}), tmp_path)
    assert agent.name == "dqn-CartPole-v0-qat-200ep-s4"
    assert agent.training is not None
    assert (agent.training["episodes"], agent.training["hyperparameters"]["batch_size"]) == (200, 128)
    assert "Li 2023" in agent.origin
    (shorter,) = planned_agents(_spec({"train": {**stated, "episodes": 5}}), tmp_path)
    assert shorter.name == "dqn-CartPole-v0-qat-5ep-s4"


def test_names_say_what_kind_of_quantization_was_trained(tmp_path: Path) -> None:
    def name(**more: Any) -> str:
        stated = {"algorithms": "ppo", "environments": "Hopper-v4", "steps": 9, **more}
        (agent,) = planned_agents(_spec({"train": stated}), tmp_path)
        return agent.name

    raw = {"observation_scaling": False, "per_channel": False}
    assert name() == "ppo-Hopper-v4-9-s0"
    assert name(qat=True) == name(qat={"weight_bits": 8}) == "ppo-Hopper-v4-qat-9-s0"
    assert name(qat=raw) == "ppo-Hopper-v4-qat-unscaled-per-tensor-9-s0"
    assert name(qat={"weight_bits": 4, "activation_bits": 5}) == "ppo-Hopper-v4-qat-w4-a5-9-s0"
    assert name(qat={"networks": "all"}) == "ppo-Hopper-v4-qat-all-9-s0"
    assert name(sparse={}) == "ppo-Hopper-v4-sparse-9-s0"


def test_every_setting_of_quantization_aware_training_is_in_the_name() -> None:
    assert {name: usual for name, (usual, _) in _QAT_WORDS.items()} == asdict(QatConfig())


def test_pinned_kernels_are_part_of_the_identity_and_none_changes_nothing(tmp_path: Path) -> None:
    def agent(**more: Any) -> PlannedAgent:
        stated = {"algorithms": "ppo", "environments": "Hopper-v4", "steps": 9, **more}
        (found,) = planned_agents(_spec({"train": stated}), tmp_path)
        return found

    free, pinned, plain = agent(), agent(kernels="avx2"), agent(kernels="plain")
    assert free.training is not None
    assert "kernels" not in free.training
    assert free.identity == "6412bf7ef68a126a077d0b7a02a607d45f8ba85f9a61781b3e96a51e401f1d63"
    assert len({free.identity, pinned.identity, plain.identity}) == 3
    assert pinned.training is not None
    assert (pinned.training["kernels"], pinned.training["update"]) == ("avx2", "native")
    with pytest.raises(TrainingInputError, match=r"no such kernels[\s\S]*amx, avx512, avx2, plain"):
        agent(kernels="sse")


def test_li_s_study_is_what_the_paper_trains() -> None:
    studies = ROOT / "papers" / "li2023" / "studies"
    agents = planned_agents(read_spec(studies / "li2023.yml"), studies)
    found = Counter((agent.algorithm, agent.environment.id, agent.label) for agent in agents)
    two = ("fp32", "qat")
    assert all(
        found["dqn", environment, form] == 10 for environment in ("CartPole-v0", "LunarLander-v3") for form in two
    )
    assert all(found["ddpg", name, form] == 10 for name in ("Pendulum-v1", "LunarLanderContinuous-v3") for form in two)
    raw = [agent.training["qat"] for agent in agents if agent.training is not None and agent.label == "qat"]
    assert not any(qat["observation_scaling"] or qat["per_channel"] for qat in raw)


def test_given_agents_are_found_beside_the_file(tmp_path: Path) -> None:
    source = ROOT / "examples" / "agents" / "dqn-CartPole-v1.zip"
    shutil.copy(source, tmp_path / "one.zip")
    agents = planned_agents(_spec({"files": ["*.zip", str(source)], "label": "given"}), tmp_path)
    (agent,) = agents
    assert (agent.algorithm, agent.environment.id, agent.label) == ("dqn", "CartPole-v1", "given")
    assert agent.row().sha256 == agent.identity


def test_a_normaliser_of_given_agents(tmp_path: Path) -> None:
    layer = VecNormalize(DummyVecEnv([lambda: gym.make("CartPole-v1")]))
    layer.obs_rms.mean += 3.0
    shutil.copy(ROOT / "examples" / "agents" / "dqn-CartPole-v1.zip", tmp_path / "one.zip")
    (plain,) = planned_agents(_spec({"files": "one.zip"}), tmp_path)
    assert NO_NORMALISER_FOUND in plain.row().notices
    (tmp_path / "of").mkdir()
    layer.save(str(tmp_path / "of" / "it.pkl"))
    (given,) = planned_agents(_spec({"files": "one.zip", "normalizer": "of/it.pkl"}), tmp_path)
    assert given.identity != plain.identity
    assert given.overrides.normalizer == str(tmp_path / "of" / "it.pkl")
    (none,) = planned_agents(_spec({"files": "one.zip", "normalizer": "none"}), tmp_path)
    assert none.identity == plain.identity
    assert none.row().notices == ()
    with pytest.raises(StudyInputError, match="normalizer belongs to files"):
        _spec({**_training(), "normalizer": "none"})


def test_a_pattern_without_agents_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyInputError, match="No agent matches"):
        planned_agents(_spec({"files": "*.zip"}), tmp_path)


def _network(path: Path) -> None:
    """A small network whose outputs say what they are, with a value head first."""
    weight, value = np.ones((4, 2), np.float32), np.ones((4, 1), np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["obs", "v"], ["value"]), helper.make_node("MatMul", ["obs", "w"], ["mean"])],
        "g",
        [helper.make_tensor_value_info("obs", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size]) for name, size in OUTPUTS],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(value, "v")],
    )
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )


OUTPUTS = (("value", 1), ("mean", 2))


def test_what_the_command_line_states_of_agents_a_study_states_by_the_same_names(tmp_path: Path) -> None:
    options = {field.name for field in fields(AgentOptions)} - {"env", "env_kwargs", "wrapper"}
    assert options <= set(Agents.model_fields)
    _network(tmp_path / "net.onnx")
    given = {"files": "net.onnx", "environment": "CartPole-v1", "output_name": "mean", "actions": 2}
    (agent,) = planned_agents(_spec(given), tmp_path)
    assert agent.overrides == Overrides(output_name="mean", discrete_actions=2)
    with pytest.raises(PolicypressError):
        planned_agents(_spec({**given, "output_name": "value"}), tmp_path)
    (axis,) = _spec({"files": "a.zip", "check": "of/it.npz", "cnn_strides": [4, 2], "activation": "elu"}).agents
    stated = axis.overrides(tmp_path)
    assert stated == AgentOptions(activation="elu", cnn_strides="4,2", check=tmp_path / "of" / "it.npz").overrides()


@pytest.mark.parametrize(
    "stated",
    [{"activation": "elu"}, {"check": "a.npz"}, {"actions": 2}, {"scale_actions": True}, {"cnn_strides": 4}],
)
def test_what_belongs_to_files_is_no_training_s(stated: dict[str, Any]) -> None:
    with pytest.raises(StudyInputError, match="belongs to files"):
        _spec({**_training(), **stated})


@pytest.mark.parametrize("stated", [{"activation": "elyu"}, {"cnn_strides": "4,x"}, {"actions": 0}, {"check": 3}])
def test_a_value_that_does_not_parse_is_named_with_its_place(stated: dict[str, Any]) -> None:
    with pytest.raises(StudyInputError, match=r"agents\.0"):
        _spec({"files": "a.zip", **stated})


def test_what_is_stated_of_checkpoints_is_what_the_command_line_states(tmp_path: Path) -> None:
    fields = {"squash": "tanh", "action_scale": [0.25, 2], "action_size": 2, "layers": ["a.0", "a.2"]}
    (axis,) = _spec({"files": "model_1.pt", **fields}).agents
    assert axis.overrides(tmp_path) == stated_overrides(
        squash="tanh", action_scale="0.25,2", action_size=2, layers="a.0,a.2"
    )
    with pytest.raises(StudyInputError, match="squash belongs to files"):
        _spec({**_training(), "squash": "tanh"})
    with pytest.raises(StudyInputError, match="squash"):
        _spec({"files": "model_1.pt", "squash": "clip"})
