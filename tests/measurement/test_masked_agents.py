"""MaskablePPO in environments that say which actions are allowed: what is played is what sb3-contrib plays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from sb3_contrib import MaskablePPO

from policypress import Policy, compress, load_artifact
from policypress.engine.store.reader import StoreReader
from policypress.environments.wrappers.masks import choices
from policypress.measurement.agent_in_environment import MASKS_UNKNOWN, UNMASKED, agent_in_environment
from policypress.measurement.evaluation import evaluate, model_of
from policypress_runtime.codegen.reader import read_program
from policypress_runtime.codegen.render import render
from policypress_runtime.codegen.targets import TARGETS


class Choosing(gym.Env[Any, Any]):
    """Half of the options of every choice are allowed; an illegal action ends the episode."""

    observation_space = gym.spaces.Box(-1, 1, (6,), np.float32)

    def __init__(self, space: gym.spaces.Space[Any]) -> None:
        self.action_space = space

    def _shown(self) -> Any:
        self._mask = np.zeros(sum(choices(self.action_space)), bool)
        begin = 0
        for width in choices(self.action_space):
            self._mask[begin + self.np_random.choice(width, max(width // 2, 1), replace=False)] = True
            begin += width
        return self.np_random.uniform(-1, 1, 6).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._time = 0
        return self._shown(), {}

    def action_masks(self) -> Any:
        return self._mask

    def step(self, action: Any) -> Any:
        self._time += 1
        picked = np.asarray(action).reshape(-1) - getattr(self.action_space, "start", 0)
        begins = np.cumsum((0, *choices(self.action_space)[:-1]))
        legal = bool(self._mask[begins + picked].all())
        reward = float(np.sum((picked + 1) * np.arange(1, len(picked) + 1)))
        return self._shown(), reward if legal else -100.0, not legal or self._time == 30, False, {}


@pytest.mark.parametrize(
    "space", [gym.spaces.Discrete(4), gym.spaces.MultiDiscrete([3, 2]), gym.spaces.MultiBinary(3)], ids=str
)
def test_maskable_ppo_plays_as_sb3_contrib_does(space: gym.spaces.Space[Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = MaskablePPO("MlpPolicy", Choosing(space), n_steps=64, seed=0, device="cpu")
    model.save(tmp_path / "agent.zip")
    found = evaluate(tmp_path / "agent.zip", episodes=4, env=lambda: Choosing(space))
    assert found.protocol.masked
    assert found.notices == ()
    for row in found.episodes:
        env = Choosing(space)
        observation, _ = env.reset(seed=row.seed)
        total, done = 0.0, False
        while not done:
            action, _ = model.predict(observation, deterministic=True, action_masks=env.action_masks())
            observation, reward, done, _, _ = env.step(action)
            total += reward
        assert (row.episode_return, row.length) == (total, 30)


def test_without_masks_it_is_played_and_masks_are_named_as_the_suspect(tmp_path: Path) -> None:
    class Unmasked(Choosing):
        action_masks = None  # type: ignore[assignment]

    space = gym.spaces.Discrete(4)
    torch.manual_seed(0)
    MaskablePPO("MlpPolicy", Choosing(space), n_steps=64, seed=0, device="cpu").save(tmp_path / "agent.zip")
    found = evaluate(tmp_path / "agent.zip", episodes=2, env=lambda: Unmasked(space))
    assert UNMASKED in found.notices
    subject = agent_in_environment(tmp_path / "agent.zip", env_fn=lambda: Unmasked(space))
    assert subject.suspects == (UNMASKED,)
    artifact = tmp_path / "policy.onnx"
    artifact.write_bytes(model_of(subject.policy))
    assert UNMASKED in evaluate(artifact, episodes=2, env=lambda: Unmasked(space)).notices
    runtime = load_artifact(artifact)
    assert runtime.contract.masked
    assert runtime.contract.caller_supplies == ("action_mask",)
    masks = np.array([[False, True, False, False], [False, False, False, True]])
    batch = np.zeros((2, 6), np.float32)
    assert runtime.predict(batch, action_masks=masks)[0].tolist() == [1, 3]
    assert runtime.predict(batch[0], action_masks=masks[0])[0] == 1
    assert runtime.act_masked(batch[1], masks[1]) == 3


def test_networks_of_unknown_training_are_told_of_masks() -> None:
    policy = Policy.from_module(torch.nn.Linear(6, 4), Choosing.observation_space, gym.spaces.Discrete(4))
    found = evaluate(policy, episodes=1, env=lambda: Choosing(gym.spaces.Discrete(4)))
    assert MASKS_UNKNOWN in found.notices
    assert not found.protocol.masked


def test_compress_plays_allowed_actions_alone_and_says_so_in_its_cells(tmp_path: Path) -> None:
    space = gym.spaces.Discrete(4)
    torch.manual_seed(0)
    MaskablePPO("MlpPolicy", Choosing(space), n_steps=64, seed=0, device="cpu").save(tmp_path / "agent.zip")
    done = compress(
        tmp_path / "agent.zip",
        ["equalize > int8"],
        output=tmp_path / "out",
        episodes=3,
        env_fn=lambda: Choosing(space),
        executor="debug",
        costs=False,
    )
    assert not done.outcome.failed
    with StoreReader(done.store) as store:
        for key in done.cells.values():
            # An action that is not allowed ends the episode.
            assert [row.length for row in store.episodes(key)] == [30] * 3
            cell = store.cell(key)
            assert cell is not None
            assert cell.cell.protocol.masked
            assert cell.cell.identity()["protocol"]["masked"] is True


def test_the_c_header_says_that_the_caller_masks() -> None:
    space = gym.spaces.Discrete(4)
    policy = Policy.from_module(torch.nn.Linear(6, 4), Choosing.observation_space, space)
    plain = render(read_program(model_of(policy)), TARGETS["host"], "policy").h
    policy.origin = replace(policy.origin, algorithm="maskable_ppo", caller_supplies=("action_mask",))
    masked = render(read_program(model_of(policy)), TARGETS["host"], "policy").h
    assert "The caller supplies: action_mask" in masked
    assert "among the actions that are allowed" in masked
    assert "int policy_run(const float *observation, float *scores, int32_t *action);" in masked
    assert "allowed" not in plain
