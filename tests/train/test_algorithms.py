"""Names of algorithms, and the hyperparameters they take."""

from __future__ import annotations

import pytest

from policypress.agents.algorithm_names import NAMES
from policypress_runtime.errors import TrainingInputError
from policypress_train.algorithms import algorithm, default_of


def test_six() -> None:
    assert NAMES == ("dqn", "ddpg", "td3", "sac", "ppo", "trpo")
    assert [algorithm(name.upper()).stock.__name__ for name in NAMES] == [name.upper() for name in NAMES]


def test_an_unknown_one_is_refused_with_the_nearest() -> None:
    with pytest.raises(TrainingInputError, match="Did you mean ppo"):
        algorithm("ppo2")


@pytest.mark.parametrize("name", NAMES)
def test_what_a_training_sets_itself_is_no_hyperparameter(name: str) -> None:
    arguments = algorithm(name).arguments()
    assert not {"env", "policy", "seed", "device", "verbose", "_init_setup_model"} & set(arguments)
    assert default_of(arguments["learning_rate"]) > 0
