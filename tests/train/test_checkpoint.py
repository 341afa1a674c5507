"""Checkpoints are read as data; a damaged one is a typed error, and a write that fails leaves the last one."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from policypress.training_package import TrainingRequest
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import OutputError, TrainingInputError
from policypress_train.checkpoints import checkpoint as checkpoints
from policypress_train.hyperparameters.preparing import prepare
from policypress_train.outputs import output_paths
from policypress_train.spec import TrainingSpec
from policypress_train.trainer import Silent, TrainOptions, _Run, train


class Bomb:
    """A pickle that would run something."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("the checkpoint was executed",))


def spec() -> TrainingSpec:
    stated = [("net_arch", [8]), ("learning_starts", 20), ("buffer_size", 50)]
    return prepare(TrainingRequest("td3", EnvironmentSpec("Pendulum-v1"), steps=90, overrides=stated)).spec


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The zip's path of a training that stopped at step 60."""

    class Stops(Silent):
        def advanced(self, steps: int) -> None:
            if steps >= 60:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(spec(), tmp_path / "agent.zip", options=TrainOptions(0, checkpoint_every=25), progress=Stops())
    return tmp_path / "agent.zip"


def resume(path: Path, of: TrainingSpec | None = None) -> Any:
    return train(of or spec(), path, options=TrainOptions(0))


def test_there_may_be_none(tmp_path: Path) -> None:
    assert checkpoints.read(tmp_path) is None


def test_it_says_where_it_is(stopped: Path) -> None:
    found = checkpoints.read(output_paths(stopped).checkpoint)
    assert found is not None
    assert found.steps == 50
    assert found.files == ["transitions-0-25.npz", "transitions-25-50.npz"]


@pytest.mark.parametrize("damage", ["truncated", "executable", "format", "tensors"])
def test_a_damaged_one_is_a_typed_error(stopped: Path, damage: str) -> None:
    state = output_paths(stopped).checkpoint / checkpoints.STATE
    stored = torch.load(state, weights_only=True)
    if damage == "truncated":
        state.write_bytes(state.read_bytes()[:2000])
    elif damage == "executable":
        state.write_bytes(pickle.dumps(Bomb()))
    elif damage == "format":
        torch.save({**stored, "plain": stored["plain"].replace('"format": 1', '"format": 2')}, state)
    else:
        stored["parameters"]["policy"].popitem()
        torch.save(stored, state)
    with pytest.raises(TrainingInputError, match="restart this training"):
        resume(stopped)
    assert not stopped.exists()


def test_it_belongs_to_its_training(stopped: Path) -> None:
    other = prepare(TrainingRequest("td3", EnvironmentSpec("Pendulum-v1"), steps=91)).spec
    with pytest.raises(TrainingInputError, match="another training"):
        resume(stopped, other)


def test_a_failed_write_leaves_the_last_one(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = checkpoints.read(output_paths(stopped).checkpoint)
    run = _Run(spec(), output_paths(stopped), TrainOptions(0, checkpoint_every=10), Silent())
    written: list[Path] = []

    def full_disk(path: Path, content: bytes) -> None:
        written.append(path)
        raise OutputError("The file cannot be written.")

    monkeypatch.setattr(checkpoints, "write_atomic", full_disk)
    with pytest.raises(OutputError):
        run.run()
    monkeypatch.undo()
    after = checkpoints.read(output_paths(stopped).checkpoint)
    assert written
    assert before is not None
    assert after is not None
    assert after.plain == before.plain
    assert resume(stopped).resumed == ((50, True),)


def test_an_environment_that_is_not_deterministic_begins_a_new_episode(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gymnasium.envs.classic_control.pendulum import PendulumEnv

    original = PendulumEnv.step

    def drifting(self: Any, action: Any) -> Any:
        self.state = self.state + np.random.default_rng().normal(size=2) * 1e-3
        return original(self, action)

    monkeypatch.setattr(PendulumEnv, "step", drifting)
    record = resume(stopped)
    assert record.resumed == ((50, False),)
    assert record.steps == 90
