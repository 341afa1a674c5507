"""Checkpoints that the frameworks themselves wrote, in a folder beside the repository, act as the frameworks say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from policypress.agents.loading import load_agent
from policypress.agents.stated_overrides import stated_overrides
from policypress.policy.importers.from_agent import policy_from_agent

MADE = Path(__file__).resolve().parents[4] / "shared" / "robots" / "made_here"
ELU: dict[str, Any] = {"activation": "elu"}
# File, its pairs, and what must be stated.
PROVEN: dict[str, tuple[str, dict[str, Any]]] = {
    "rsl_rl_2.3.3/model_mlp.pt": ("rsl_rl_2.3.3/check_mlp.npz", ELU),
    "rsl_rl_3.1.2/model_mlp.pt": ("rsl_rl_3.1.2/check_mlp.npz", ELU),
    **{
        f"rsl_rl_{version}/model_{kind}.pt": (f"rsl_rl_{version}/check_{kind}.npz", ELU)
        for version in ("2.3.3", "3.1.2")
        for kind in ("lstm", "gru")
    },
    "rsl_rl_5.5.1_lstm/model_5.pt": ("rsl_rl_5.5.1_lstm/policy.check.npz", ELU),
    "rsl_rl_5.5.1_gru/model_5.pt": ("rsl_rl_5.5.1_gru/policy.check.npz", ELU),
    "rsl_rl_5.5.1_mlp/model_5.pt": ("rsl_rl_5.5.1_mlp/policy.check.npz", ELU),
    "rl_games_1.6.5/agent.pth": ("rl_games_1.6.5/check.npz", ELU),
    "skrl_2.1.1/agent_256.pt": ("skrl_2.1.1/check.npz", {**ELU, "squash": "tanh", "action_scale": "2"}),
}
READ: dict[str, dict[str, Any]] = {
    "cleanrl/ppo_continuous_action.cleanrl_model": {"normalizer": "none"},
    "cleanrl/td3_continuous_action.cleanrl_model": {},
    "sample_factory_2.1.1/checkpoint_mlp_000000001_1.pth": {**ELU, "action_size": 1},
    "torchrl_0.14.1/policy.pt": {"activation": "tanh", "squash": "tanh"},
}


def _file(name: str) -> Path:
    if not MADE.is_dir():
        pytest.skip("the folder of checkpoints beside the repository is absent")
    return MADE / name


@pytest.mark.shared
@pytest.mark.parametrize("name", PROVEN)
def test_a_checkpoint_acts_as_its_framework_said(name: str, tmp_path: Path) -> None:
    pairs, stated = PROVEN[name]
    overrides = stated_overrides(**stated, check=_file(pairs))
    policy = policy_from_agent(load_agent(_file(name), overrides=overrides))
    with np.load(_file(pairs)) as stored:
        observations, expected = stored["x"], stored["y"]
    rows, state = [], policy.initial_state(1)
    with torch.no_grad():
        for observation in torch.from_numpy(observations):
            action, state = policy.step(observation[None], state)
            rows.append(action.numpy())
    got = np.concatenate(rows)
    assert (np.abs(got - expected) <= 1e-5 * (1 + np.abs(expected))).all()


@pytest.mark.shared
@pytest.mark.parametrize("name", READ)
def test_a_checkpoint_without_pairs_is_read(name: str) -> None:
    policy = policy_from_agent(load_agent(_file(name), overrides=stated_overrides(**READ[name])))
    with torch.no_grad():
        assert torch.isfinite(policy.scores(policy.example(4))).all()
