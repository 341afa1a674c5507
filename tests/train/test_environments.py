"""The environments of a training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from policypress.training_package import TrainingRequest
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import TrainingInputError
from policypress_train.hyperparameters.preparing import prepare
from policypress_train.spec import TrainingSpec
from policypress_train.vector_envs.making import (
    acting_environment,
    evaluation_environment,
    frame_stack,
    innermost,
    learning_environments,
    normaliser,
)


def spec_of(algorithm: str, environment: str, **more: Any) -> TrainingSpec:
    return prepare(TrainingRequest(algorithm, EnvironmentSpec(environment), overrides=list(more.items()))).spec


def test_normalised_with_the_algorithm_s_discount() -> None:
    environments = learning_environments(spec_of("ppo", "HalfCheetah-v4", n_envs=2))
    layer = normaliser(environments)
    assert layer is not None
    assert layer.gamma == 0.98
    assert innermost(environments).num_envs == 2
    assert frame_stack(environments) is None


def test_a_game_is_learned_in_lives_and_judged_whole() -> None:
    spec = spec_of("dqn", "BreakoutNoFrameskip-v4")
    environments = learning_environments(spec)
    assert environments.observation_space.shape == (84, 84, 4)
    assert frame_stack(environments) is not None
    assert normaliser(environments) is None
    environments.seed(0)
    environments.reset()
    lives = []
    for _ in range(300):
        _, _, dones, infos = environments.step(np.array([0]))
        if dones[0]:
            lives.append("episode" in infos[0])
    assert lives
    assert False in lives
    assert [wrapper.name for wrapper in acting_environment(spec).wrappers] == ["AtariWrapper", "frame_stack"]
    judged = evaluation_environment(spec)
    assert judged.observation_space.shape == environments.observation_space.shape


@pytest.mark.parametrize(
    ("more", "words"), [({"frame_stack": 2}, "one of the two"), ({"normalize": {"norm": 1}}, "norm_obs")]
)
def test_what_does_not_go_together_is_refused(more: dict[str, Any], words: str) -> None:
    with pytest.raises(TrainingInputError, match=words):
        learning_environments(spec_of("ppo", "HalfCheetah-v4", **more))
