"""The door to training: what is asked of it, what is said where it is absent, and the old names of its classes."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from stable_baselines3 import SAC

from policypress import training_package
from policypress.agents.loading import load_agent
from policypress.training_package import TrainingRequest, training_command, training_services
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import MissingDependencyError, TrainingInputError
from policypress_train import command, services
from policypress_train.extractors import MnihCnn
from policypress_train.qat import policies
from quantized_agents import trained


def test_the_entry_points_are_the_modules_of_this_distribution() -> None:
    assert training_services() is services
    assert training_command() is command


def test_a_training_is_planned_as_a_study_keeps_it() -> None:
    planned = training_services().plan(TrainingRequest("ppo", EnvironmentSpec("CartPole-v1"), steps=64, seed=3))
    assert (planned.stored["algorithm"], planned.stored["steps"], planned.stored["seed"]) == ("ppo", 64, 3)
    assert planned.environment.id == "CartPole-v1"
    with pytest.raises(TrainingInputError, match="positive number of steps"):
        training_services().plan(TrainingRequest("ppo", EnvironmentSpec("CartPole-v1"), steps=0))


@pytest.mark.parametrize("offered", [training_services, training_command])
def test_without_the_distribution_it_is_said_what_to_install(offered: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_package, "entry_points", lambda **_: ())
    with pytest.raises(MissingDependencyError) as caught:
        offered()
    assert "pip install policypress-train" in str(caught.value)


def test_a_class_is_the_same_by_its_old_name() -> None:
    assert importlib.import_module("policypress.training.qat.policies") is policies
    assert importlib.import_module("policypress.training.extractors").MnihCnn is MnihCnn
    assert sys.modules["policypress.training.qat"] is sys.modules["policypress_train.qat"]


def test_a_zip_with_the_old_names_is_loaded_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained("sac")
    kind = type(model.policy)
    for one in {kind, model.policy_class}:
        monkeypatch.setattr(one, "__module__", one.__module__.replace("policypress_train", "policypress.training"))
    model.save(tmp_path / "old.zip")
    monkeypatch.undo()
    loaded = SAC.load(tmp_path / "old.zip")
    assert type(loaded.policy) is kind
    env = gymnasium.make("Pendulum-v1")
    observation, _ = env.reset(seed=0)
    assert np.array_equal(*(one.predict(observation, deterministic=True)[0] for one in (model, loaded)))
    bundle = load_agent(tmp_path / "old.zip")
    assert bundle.network.quantizers
