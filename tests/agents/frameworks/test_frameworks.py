"""Checkpoints of other frameworks act as those frameworks would; what they leave open is asked for by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_checkpoints import CASES, ROWS, Mlp, elu, rl_games, rsl_normalised, rsl_rl_2, skrl_1, torchrl_halves

from policypress.agents.bundle import AgentBundle
from policypress.agents.loading import load_agent
from policypress.agents.overrides import Overrides
from policypress.agents.stated_overrides import stated_overrides
from policypress.policy.importers.from_agent import policy_from_agent
from policypress_runtime.contract import Box, Discrete
from policypress_runtime.errors import AgentError, InputError, UndeterminedAgentError, UnsupportedAgentError


def _actions(bundle: AgentBundle) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        return policy_from_agent(bundle)(torch.tensor(ROWS, dtype=torch.float32)).numpy()


def _assert_acts(bundle: AgentBundle, expected: np.ndarray[Any, Any]) -> None:
    got = _actions(bundle)
    assert got.shape == expected.shape
    assert (np.abs(got - expected) <= 1e-5 * (1 + np.abs(expected))).all()


@pytest.mark.parametrize("name", CASES)
def test_a_checkpoint_acts_as_its_framework_does(name: str, tmp_path: Path) -> None:
    case = CASES[name]()
    bundle = load_agent(case.write(tmp_path), overrides=stated_overrides(**case.stated))
    _assert_acts(bundle, case.act(ROWS))


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name]().stated])
def test_what_is_open_is_asked_for_by_name_and_all_at_once(name: str, tmp_path: Path) -> None:
    case = CASES[name]()
    path = case.write(tmp_path)
    needed = {option for option in case.stated if option != "action_scale"}
    if name == "named":
        with pytest.raises(UnsupportedAgentError, match=r"--layers trunk,middle,out,\.\.\. ") as unknown:
            load_agent(path)
        assert unknown.value.exit_code == 2
        needed.discard("layers")
    layers = {"layers": case.stated["layers"]} if "layers" in case.stated else {}
    with pytest.raises(UndeterminedAgentError) as asked:
        load_agent(path, overrides=stated_overrides(**layers))
    for option in needed:
        assert "--" + option.replace("_", "-") in str(asked.value.hint)


def test_the_activation_is_the_one_that_is_stated(tmp_path: Path) -> None:
    path = rsl_rl_2().write(tmp_path)
    relu = load_agent(path, overrides=stated_overrides(activation="relu"))
    _assert_acts(relu, Mlp().run(rsl_normalised(ROWS), lambda x: np.maximum(x, 0)))


def test_a_run_folder_is_its_newest_model_with_the_activation_of_its_configuration(tmp_path: Path) -> None:
    for steps in (50, 1500, 900):
        torch.save(rsl_rl_2(iter=steps).content, tmp_path / f"model_{steps}.pt")
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "agent.yaml").write_text("policy:\n  activation: elu\nclip_actions: 0.5\n")
    bundle = load_agent(tmp_path)
    assert bundle.provenance.source.endswith("model_1500.pt")
    _assert_acts(bundle, np.clip(Mlp().run(rsl_normalised(ROWS), elu), -0.5, 0.5))
    assert any("agent.yaml" in notice for notice in bundle.notices)
    (tmp_path / "params" / "agent.yaml").write_text("policy: {activation: crelu}\n")
    with pytest.raises(UndeterminedAgentError, match="--activation"):
        load_agent(tmp_path)


def test_configurations_of_skrl_and_sample_factory(tmp_path: Path) -> None:
    skrl = tmp_path / "skrl"
    (skrl / "checkpoints").mkdir(parents=True)
    (skrl / "params").mkdir()
    torch.save(skrl_1().content, skrl / "checkpoints" / "best_agent.pt")
    (skrl / "params" / "agent.yaml").write_text(
        "models:\n  policy:\n    output: ACTIONS\n    network:\n    - {name: net, activations: elu}\n"
    )
    _assert_acts(load_agent(skrl), skrl_1().act(ROWS))
    factory = tmp_path / "factory"
    (factory / "checkpoint_p0").mkdir(parents=True)
    case = CASES["sample_factory"]()
    for name in ("checkpoint_000000002_100.pth", "checkpoint_000000010_900.pth"):
        torch.save(case.content, factory / "checkpoint_p0" / name)
    (factory / "config.json").write_text(json.dumps({"nonlinearity": "elu"}))
    bundle = load_agent(factory, overrides=Overrides(action_size=3))
    assert bundle.provenance.source.endswith("_900.pth")
    _assert_acts(bundle, case.act(ROWS))
    (factory / "config.json").write_text(json.dumps({"nonlinearity": "elu", "obs_scale": 255.0}))
    with pytest.raises(UnsupportedAgentError, match="obs_scale"):
        load_agent(factory, overrides=Overrides(action_size=3))


def test_rl_games_scales_to_the_bounds_of_the_environment(tmp_path: Path) -> None:
    case = rl_games()
    overrides = Overrides(
        activation=stated_overrides(activation="elu").activation,
        observation_space=Box((6,), "float32", (-np.inf,), (np.inf,)),
        action_space=Box((3,), "float32", (-2.0, 0.0, -1.0), (2.0, 4.0, 1.0)),
    )
    expected = case.act(ROWS) * np.array([2.0, 2.0, 1.0]) + np.array([0.0, 2.0, 0.0])
    _assert_acts(load_agent(case.write(tmp_path), overrides=overrides), expected)


def test_an_environment_tells_how_many_outputs_are_actions(tmp_path: Path) -> None:
    case = torchrl_halves()
    path = case.write(tmp_path)
    base = stated_overrides(activation="relu", squash="none")
    space = Box((2,), "float32", (-100.0,), (100.0,))
    bundle = load_agent(path, overrides=Overrides(activation=base.activation, squash="none", action_space=space))
    _assert_acts(bundle, case.act(ROWS))
    scores = load_agent(path, overrides=stated_overrides(activation="relu", actions=4))
    assert scores.action_space == Discrete(4)
    with pytest.raises(AgentError, match="4 outputs"):
        load_agent(path, overrides=stated_overrides(activation="relu", squash="none", action_size=3))


@pytest.mark.parametrize(
    ("name", "stated", "option"),
    [
        ("rsl_rl_2", {"normalizer": "x.pkl"}, "--normalizer"),
        ("rsl_rl_2", {"layers": "actor.0"}, "--layers"),
        ("rsl_rl_2", {"cnn_strides": "4,2"}, "--cnn-strides"),
        ("rsl_rl_2", {"output_name": "a"}, "--output-name"),
        ("rl_games", {"squash": "tanh"}, "--squash"),
        ("rl_games_discrete", {"squash": "tanh"}, "--squash"),
        ("rl_games_discrete", {"action_scale": "0.5"}, "--action-scale"),
        ("cleanrl_td3", {"scale_actions": True}, "--scale-actions"),
        ("cleanrl_dqn", {"action_size": 3}, "--action-size"),
        ("skrl_1", {"action_scale": "1,2"}, "--action-scale"),
        ("skrl_1", {"scale_actions": True}, "--scale-actions"),
    ],
)
def test_what_can_be_of_no_use_is_refused(name: str, stated: dict[str, Any], option: str, tmp_path: Path) -> None:
    case = CASES[name]()
    with pytest.raises(AgentError, match=option) as refused:
        load_agent(case.write(tmp_path), overrides=stated_overrides(**{**case.stated, **stated}))
    assert refused.value.exit_code == 2


def test_one_layer_has_no_activation_to_state(tmp_path: Path) -> None:
    torch.save(
        {"model_state_dict": {"actor.0.weight": torch.ones(2, 6), "actor.0.bias": torch.ones(2)}}, tmp_path / "m.pt"
    )
    assert _actions(load_agent(tmp_path / "m.pt")).shape == (64, 2)
    with pytest.raises(AgentError, match="no hidden layer"):
        load_agent(tmp_path / "m.pt", overrides=stated_overrides(activation="elu"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"memory_a.conv.weight": torch.ones(4, 4)}, "memory_a.conv.weight"),
        ({"estimator.0.weight": torch.ones(4, 4)}, "estimator.0.weight"),
        ({"actor.6.weight": torch.ones(3, 3, 2, 2)}, "convolution"),
        ({"actor.body.weight": torch.ones(3, 3)}, "body.weight"),
    ],
)
def test_networks_that_are_not_read_are_named(more: dict[str, Any], words: str, tmp_path: Path) -> None:
    content = rsl_rl_2().content
    content["model_state_dict"] |= more
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(UnsupportedAgentError, match=words) as refused:
        load_agent(tmp_path / "m.pt", overrides=stated_overrides(activation="elu"))
    assert refused.value.hint


def test_further_networks_beside_the_actor_are_named(tmp_path: Path) -> None:
    torch.save(rsl_rl_2(estimator_state_dict={"0.weight": torch.ones(2, 2)}).content, tmp_path / "m.pt")
    with pytest.raises(UnsupportedAgentError, match="estimator_state_dict"):
        load_agent(tmp_path / "m.pt", overrides=stated_overrides(activation="elu"))


def test_layers_that_do_not_fit_and_names_that_are_not_there(tmp_path: Path) -> None:
    case = CASES["named"]()
    path = case.write(tmp_path)
    with pytest.raises(AgentError, match="do not fit each other"):
        load_agent(path, overrides=stated_overrides(**{**case.stated, "layers": "trunk,out"}))
    with pytest.raises(AgentError, match="has no layer 'absent'"):
        load_agent(path, overrides=stated_overrides(**{**case.stated, "layers": "absent"}))


@pytest.mark.parametrize(
    "stated", [{"squash": "clip"}, {"action_scale": "x"}, {"action_scale": "0"}, {"action_scale": "inf"}]
)
def test_texts_that_do_not_parse(stated: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        stated_overrides(**stated)
