"""What the user states, what config.yml says, what is found: in this order, and said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from normalised_agents import normalised_agent
from onnx import helper
from torch import nn

from policypress.agents.loading import load_agent
from policypress.agents.overrides import Overrides
from policypress.policy.importers.from_agent import policy_from_agent
from policypress.policy.policy import Policy
from policypress.writers.onnx_writer import contract_of, to_onnx
from policypress_runtime.contract import METADATA_KEY, NO_NORMALISER_FOUND
from policypress_runtime.errors import AgentError, DamagedAgentError, UndeterminedAgentError


def test_none_found_is_an_assumption(tmp_path: Path) -> None:
    source = normalised_agent().write(tmp_path / "x" / "a.zip")
    bundle = load_agent(source)
    assert bundle.assumptions == (NO_NORMALISER_FOUND,)
    assert bundle.notices == ()
    assert policy_from_agent(bundle).origin.assumptions == (NO_NORMALISER_FOUND,)
    assert load_agent(source, overrides=Overrides(normalizer="none")).assumptions == ()


def test_config_counts(tmp_path: Path) -> None:
    agent = normalised_agent()
    source = agent.write(tmp_path / "x" / "a.zip")
    config = source.parent / "config.yml"
    config.write_text("normalize: false\n")
    (source.parent / "v.pkl").write_bytes(agent.pickled)
    bundle = load_agent(source)
    assert not bundle.normaliser
    assert bundle.assumptions == ()
    config.write_text("normalize: true\n")
    bundle = load_agent(source)
    assert bundle.normaliser
    assert any("v.pkl" in notice for notice in bundle.notices)
    (source.parent / "vecnormalize.pkl").write_bytes(agent.pickled)
    assert load_agent(source).notices == ()
    left_out = load_agent(source, overrides=Overrides(normalizer="none"))
    assert not left_out.normaliser
    assert any("config.yml" in notice for notice in left_out.notices)


def test_the_user_wins_over_config(tmp_path: Path) -> None:
    agent = normalised_agent()
    source = agent.write(tmp_path / "x" / "a.zip")
    (source.parent / "config.yml").write_text("normalize: false\n")
    file = tmp_path / "v.pkl"
    file.write_bytes(agent.pickled)
    assert load_agent(source, overrides=Overrides(normalizer=str(file))).normaliser


def test_missing_statistics_can_be_given(tmp_path: Path) -> None:
    agent = normalised_agent()
    source = agent.write(tmp_path / "x" / "a.zip")
    (source.parent / "config.yml").write_text("normalize: true\n")
    with pytest.raises(DamagedAgentError, match=r"missing[\s\S]*--normalizer FILE"):
        load_agent(source)
    file = tmp_path / "y" / "v.pkl"
    file.parent.mkdir()
    file.write_bytes(agent.pickled)
    assert load_agent(source, overrides=Overrides(normalizer=str(file))).normaliser


def test_frames_stacked_over_the_normaliser_without_config(tmp_path: Path) -> None:
    agent = normalised_agent(3, frames=4)
    source = agent.write(tmp_path / "x" / "agent.zip")
    (source.parent / "vec_normalize.pkl").write_bytes(agent.pickled)
    bundle = load_agent(source)
    assert bundle.caller_supplies == ("frame_stack",)
    assert any("4 stacked frames" in notice for notice in bundle.notices)
    assert any("zeros" in notice for notice in bundle.notices)
    frames = agent.observations(4)
    expected = agent.model.predict(agent.layer.normalize_obs(frames).reshape(1, 12), deterministic=True)[0]
    with torch.no_grad():
        got = policy_from_agent(bundle)(torch.from_numpy(frames.reshape(1, 12))).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_a_normaliser_over_stacked_frames(tmp_path: Path) -> None:
    agent = normalised_agent(12)
    source = agent.write(tmp_path / "x" / "agent.zip")
    (source.parent / "vec_normalize.pkl").write_bytes(agent.pickled)
    bundle = load_agent(source)
    assert bundle.caller_supplies == ()
    observations = agent.observations()
    with torch.no_grad():
        got = policy_from_agent(bundle)(torch.from_numpy(observations)).numpy()
    np.testing.assert_allclose(got, agent.expected(observations), atol=1e-5)


def network_file(path: Path) -> Path:
    """The actor alone as an ONNX file from elsewhere, as Stable-Baselines3's documentation exports it."""
    actor = normalised_agent().model.policy
    network = nn.Sequential(*actor.mlp_extractor.policy_net, actor.action_net)
    path.parent.mkdir(exist_ok=True)
    example = (torch.zeros(1, 3),)
    torch.onnx.export(network, example, path, input_names=["obs"], output_names=["action"], dynamo=False,
                      dynamic_axes={"obs": {0: "batch"}, "action": {0: "batch"}})  # fmt: skip
    return path


@pytest.mark.filterwarnings("ignore")
def test_an_onnx_file_from_elsewhere(tmp_path: Path) -> None:
    agent = normalised_agent()
    source = network_file(tmp_path / "x" / "policy.onnx")
    plain = load_agent(source)
    assert not plain.normaliser
    assert plain.assumptions == ()
    file = source.parent / "v.pkl"
    file.write_bytes(agent.pickled)
    with pytest.raises(UndeterminedAgentError, match=r"v\.pkl[\s\S]*--normalizer FILE .*--normalizer none"):
        load_agent(source)
    assert not load_agent(source, overrides=Overrides(normalizer="none")).normaliser
    observations = agent.observations()
    policy = policy_from_agent(load_agent(source, overrides=Overrides(normalizer=str(file))))
    with torch.no_grad():
        got = policy(torch.from_numpy(observations)).numpy().clip(-1, 1)
    np.testing.assert_allclose(got, agent.expected(observations), atol=1e-5)


def written(policy: Policy, path: Path) -> Path:
    model = to_onnx(policy)
    contract = contract_of(policy, "none", "0", "fp32", "1")
    helper.set_model_props(model, {METADATA_KEY: json.dumps(contract.to_json())})
    path.write_bytes(model.SerializeToString())
    return path


def test_an_artifact_of_ours(tmp_path: Path) -> None:
    agent = normalised_agent()
    source = agent.write(tmp_path / "x" / "a.zip")
    file = tmp_path / "x" / "v.pkl"
    file.write_bytes(agent.pickled)
    whole = written(policy_from_agent(load_agent(source)), tmp_path / "x" / "whole.onnx")
    assert not load_agent(whole).normaliser
    with pytest.raises(AgentError, match="itself"):
        load_agent(whole, overrides=Overrides(normalizer=str(file)))
    (tmp_path / "y").mkdir()
    file.rename(tmp_path / "y" / "moved.pkl")
    bare = written(policy_from_agent(load_agent(source)), tmp_path / "x" / "bare.onnx")
    assert load_agent(bare).assumptions == (NO_NORMALISER_FOUND,)
    bundle = load_agent(bare, overrides=Overrides(normalizer=str(tmp_path / "y" / "moved.pkl")))
    assert bundle.assumptions == ()
    observations = agent.observations()
    with torch.no_grad():
        got = policy_from_agent(bundle)(torch.from_numpy(observations)).numpy()
    np.testing.assert_allclose(got, agent.expected(observations), atol=1e-5)
