"""RecurrentPPO zips, freshly built, against Stable-Baselines3's own ``predict`` over whole episodes."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import RecurrentPPO
from sb3_models import ACTIONS, OBSERVATIONS, SpacesEnvironment, draw, randomise, rounded

import command_line
from policypress.agents.loading import load_agent
from policypress.measurement.evaluation import runtime_of
from policypress.policy.importers.from_agent import policy_from_agent
from policypress.policy.policy import Policy
from policypress_runtime.errors import UnsupportedAgentError

STEPS = 200
SHARED = {"shared_lstm": True, "enable_critic_lstm": False}
NO_CRITIC = {"shared_lstm": False, "enable_critic_lstm": False}
CASES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("MlpLstmPolicy", "vector", "uneven", {}),
    ("MlpLstmPolicy", "vector", "unit", {"n_lstm_layers": 2, **SHARED}),
    ("MlpLstmPolicy", "double", "discrete", NO_CRITIC),
    ("MlpLstmPolicy", "matrix", "multi_discrete", {"net_arch": []}),
    ("MlpLstmPolicy", "discrete", "multi_binary", {"lstm_kwargs": {"bias": False}}),
    ("MlpLstmPolicy", "vector", "matrix", {"use_sde": True, "squash_output": True}),
    ("MlpLstmPolicy", "vector", "pair", {"activation_fn": torch.nn.ELU, "share_features_extractor": False}),
    ("CnnLstmPolicy", "gray", "discrete", SHARED),
    ("CnnLstmPolicy", "image", "uneven", {"n_lstm_layers": 3, **NO_CRITIC}),
    ("MultiInputLstmPolicy", "dict_of_vectors", "uneven", {}),
    ("MultiInputLstmPolicy", "dict", "discrete", {"n_lstm_layers": 2, **NO_CRITIC}),
]


def model_of(policy: str, observation: str, action: str, settings: dict[str, Any]) -> RecurrentPPO:
    given = {"lstm_hidden_size": 12, "net_arch": [8], **settings}
    sde = bool(given.pop("use_sde", False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        environment = SpacesEnvironment(OBSERVATIONS[observation], ACTIONS[action])
        model = RecurrentPPO(policy, environment, n_steps=4, batch_size=4, policy_kwargs=given, use_sde=sde, seed=0)
    randomise(model, 1)
    return model


def read(model: RecurrentPPO, path: Path) -> Policy:
    model.save(path)
    stored = model.observation_space
    transposed = tuple(
        key
        for key, part in (stored.spaces.items() if isinstance(stored, spaces.Dict) else [("", stored)])
        if isinstance(part, spaces.Box) and len(part.shape) == 3
    )
    return policy_from_agent(load_agent(path), transposed_keys=transposed)


def row(batch: Any, index: int) -> Any:
    return {key: value[index] for key, value in batch.items()} if isinstance(batch, dict) else batch[index]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join([*case[:3], *map(str, case[3])]))
def test_an_episode_is_that_of_stable_baselines3(case: tuple[str, str, str, dict[str, Any]], tmp_path: Path) -> None:
    name, observation, action, settings = case
    model = model_of(name, observation, action, settings)
    policy = read(model, tmp_path / "agent.zip")
    assert policy.origin.algorithm == "recurrent_ppo"
    steps = STEPS if observation not in ("image", "dict") else 40
    batch = rounded(draw(OBSERVATIONS[observation], steps, np.random.default_rng(2)))
    runtime = runtime_of(policy)
    theirs: Any = None
    ours: Any = None
    start = np.ones(1)
    for step in range(steps):
        given = row(batch, step)
        want, theirs = model.predict(given, state=theirs, episode_start=start, deterministic=True)
        got, ours = runtime.predict(given, ours, start)
        start = np.zeros(1)
        kept = runtime.act(given)
        np.testing.assert_array_equal(np.asarray(kept), np.asarray(got))
        if policy.scores_node is None:
            np.testing.assert_array_less(np.abs(got - want), 1e-5 * (1 + np.abs(want)) + 1e-30)
        else:
            np.testing.assert_array_equal(got, want)
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=2e-5)


def test_a_batch_of_episodes_that_begin_at_different_times(tmp_path: Path) -> None:
    model = model_of("MlpLstmPolicy", "vector", "uneven", {"n_lstm_layers": 2})
    runtime = runtime_of(read(model, tmp_path / "agent.zip"))
    rng = np.random.default_rng(3)
    theirs: Any = None
    ours: Any = None
    for step in range(40):
        given = draw(OBSERVATIONS["vector"], 5, rng)
        starts = np.ones(5) if step == 0 else (rng.random(5) < 0.2).astype(float)
        want, theirs = model.predict(given, state=theirs, episode_start=starts, deterministic=True)
        got, ours = runtime.predict(given, ours, starts)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
        assert [one.shape for one in ours] == [other.shape for other in theirs] == [(2, 5, 12)] * 2


def test_an_lstm_that_reads_its_batch_first_is_refused(tmp_path: Path) -> None:
    model = model_of("MlpLstmPolicy", "vector", "unit", {"lstm_kwargs": {"batch_first": True}})
    model.save(tmp_path / "agent.zip")
    with pytest.raises(UnsupportedAgentError, match="batch_first"):
        load_agent(tmp_path / "agent.zip")


def test_its_memory_is_described(tmp_path: Path) -> None:
    model_of("MlpLstmPolicy", "vector", "unit", {"n_lstm_layers": 2}).save(tmp_path / "agent.zip")
    done = command_line.run("inspect", tmp_path / "agent.zip")
    assert done.returncode == 0, done.stderr
    assert "h_in -> h_out (2, 12), c_in -> c_out (2, 12)" in done.stdout
    state = json.loads(command_line.run("inspect", tmp_path / "agent.zip", "--json").stdout)["state"]
    assert [(one["name"], one["shape"]) for one in state] == [("h_in", [2, 12]), ("c_in", [2, 12])]
