"""What the user states, what config.yml says, what is found: in this order, and said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from normalised_agents import normalised_agent

from policypress.agent.loading import load_agent
from policypress.agent.overrides import Overrides
from policypress.contract import NO_NORMALISER_FOUND
from policypress.errors import DamagedAgentError
from policypress.policy.from_agent import policy_from_agent


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
