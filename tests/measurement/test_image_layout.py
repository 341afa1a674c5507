"""A camera agent without an environment at hand: what SB3's predict takes, and how the layout is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import DQN

from policypress.measurement.agent_in_environment import agent_in_environment, layout_notice
from policypress.measurement.evaluation import model_of
from policypress_runtime.codegen.reader import read_program
from policypress_runtime.codegen.render import render
from policypress_runtime.codegen.targets import TARGETS
from policypress_runtime.contract import Box
from policypress_runtime.errors import ObservationError
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime


class Camera(gym.Env[Any, Any]):
    observation_space = gym.spaces.Box(0, 255, (40, 36, 3), np.uint8)
    action_space = gym.spaces.Discrete(3)


def test_what_sb3_s_predict_takes_predict_takes_and_act_says_how(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = DQN("CnnPolicy", Camera(), buffer_size=10, device="cpu")
    model.save(tmp_path / "agent.zip")
    subject = agent_in_environment(tmp_path / "agent.zip", needs_environment=False)
    assert any("channels, height, width" in notice and "--env" in notice for notice in subject.notices)
    content = model_of(subject.policy)
    runtime = OnnxRuntime(content)
    images = np.random.default_rng(0).integers(0, 256, (6, 40, 36, 3), np.uint8)
    wanted = model.predict(images, deterministic=True)[0]
    assert runtime.predict(images)[0].tolist() == wanted.tolist()
    assert runtime.predict(np.moveaxis(images, -1, 1))[0].tolist() == wanted.tolist()
    assert int(runtime.predict(images[0])[0]) == wanted[0]
    with pytest.raises(ObservationError, match=r"numpy.transpose\(image, \(2, 0, 1\)\)"):
        runtime.act(images[0])
    assert runtime.act(np.transpose(images[0], (2, 0, 1))) == wanted[0]
    with pytest.raises(ObservationError, match=r"numpy.transpose\(image, \(0, 3, 1, 2\)\)"):
        runtime.act_batch(images)
    assert runtime.act_batch(np.transpose(images, (0, 3, 1, 2))).tolist() == wanted.tolist()
    header = render(read_program(content), TARGETS["host"], "policy").h
    assert "uint8_t, 3 x 40 x 36 (channels first: channels, height, width)" in header


def test_axes_of_one_length_are_told() -> None:
    assert "cannot be detected" in layout_notice(Box((36, 36, 36), "uint8", (0.0,), (255.0,)))[0]
    assert "cannot be detected" not in layout_notice(Box((3, 36, 36), "uint8", (0.0,), (255.0,)))[0]
    assert layout_notice(Box((3,), "float32", (0.0,), (1.0,))) == ()
