"""What the native update cannot learn is refused by name, with the update that can."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from native_updates import NATIVE, Nothing, built_model
from policypress.training_package import TrainingRequest
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import TrainingInputError
from policypress_train import model
from policypress_train.algorithms import ALGORITHMS
from policypress_train.hyperparameters.preparing import prepare
from policypress_train.model import build_model
from policypress_train.native.networks import sac_networks, td3_networks
from policypress_train.vector_envs.making import learning_environments


class Doubling(BaseFeaturesExtractor):
    """Features that are no observations."""

    def __init__(self, space: gymnasium.Space[Any]) -> None:
        super().__init__(space, 6)
        self.layer = torch.nn.Linear(3, 6)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return self.layer(observations)  # type: ignore[no-any-return]


def with_network(**more: Any) -> dict[str, Any]:
    return {"policy_kwargs": {"net_arch": [16, 16], **more}}


@pytest.mark.parametrize("algorithm", ["sac", "td3"])
@pytest.mark.parametrize(
    ("more", "said"),
    [
        (with_network(activation_fn=torch.nn.ELU), "ELU"),
        (with_network(features_extractor_class=Doubling), "Doubling"),
        (with_network(net_arch=[4] * 16), "17 layers"),
        (with_network(n_critics=9), "9 critics"),
        (with_network(optimizer_class=torch.optim.SGD, optimizer_kwargs={"momentum": 0.5}), "SGD"),
        (with_network(optimizer_kwargs={"amsgrad": True}), "amsgrad"),
    ],
)
def test_networks_and_optimizers_that_are_not_known(algorithm: str, more: dict[str, Any], said: str) -> None:
    with pytest.raises(TrainingInputError, match=rf"does not support this agent[\s\S]*{said}[\s\S]*--update fast"):
        built_model(NATIVE[algorithm], 3, 2, **more).train(1, 8)


def test_exploration_by_state_dependent_noise_is_refused() -> None:
    with pytest.raises(TrainingInputError, match="use_sde"):
        built_model(NATIVE["sac"], 3, 2, use_sde=True)


@pytest.mark.parametrize(
    "space",
    [
        gymnasium.spaces.Box(0, 255, (36, 36, 3), np.uint8),
        gymnasium.spaces.Dict({"a": gymnasium.spaces.Box(-1, 1, (3,))}),
    ],
)
def test_observations_that_are_no_flat_box(space: gymnasium.Space[Any]) -> None:
    env = Nothing(3, 2)
    env.observation_space = space  # type: ignore[assignment]
    policy = "MultiInputPolicy" if isinstance(space, gymnasium.spaces.Dict) else "CnnPolicy"
    with pytest.raises(TrainingInputError, match="observations of"):
        NATIVE["td3"](policy, env, buffer_size=10)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_auto_is_native_where_that_can_be_and_fast_elsewhere(algorithm: str) -> None:
    environment = EnvironmentSpec("CartPole-v1" if algorithm == "dqn" else "Pendulum-v1")
    made = []
    for activation in ("ReLU", "ELU"):
        stated = [("activation_fn", activation), ("use_sde", False)]
        stated = stated[:1] if algorithm in ("dqn", "td3", "ddpg") else stated
        spec = prepare(TrainingRequest(algorithm, environment, steps=100, overrides=stated, update="auto")).spec
        made.append(build_model(spec, learning_environments(spec)))
    assert type(made[0]) is model.NATIVE[algorithm]
    assert type(made[1]) is model.FAST.get(algorithm, ALGORITHMS[algorithm].stock)


@pytest.mark.parametrize("algorithm", ["sac", "ppo"])
def test_auto_begins_as_fast_does_where_native_cannot(algorithm: str) -> None:
    weights = []
    for update in ("auto", "fast"):
        stated = [("activation_fn", "ELU"), ("use_sde", False)]
        spec = prepare(
            TrainingRequest(
                algorithm,
                EnvironmentSpec("Pendulum-v1"),
                steps=100,
                overrides=stated,
                update=update,  # type: ignore[arg-type]
            )
        ).spec
        made = build_model(spec, learning_environments(spec))
        weights.append({**made.policy.state_dict(), "drawn": torch.randn(3), "seen": torch.tensor(made.env.reset())})  # type: ignore[union-attr]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_the_layers_are_the_policy_s() -> None:
    sac = built_model(NATIVE["sac"], 3, 2, policy_kwargs={"net_arch": {"pi": [8], "qf": [4, 5]}, "n_critics": 3})
    networks = sac_networks(sac.policy)
    assert [[layer.out_features for layer in place.parts] for place in networks.actor] == [[8], [2, 2]]
    assert [[place.parts[0].out_features for place in critic] for critic in networks.critics] == [[4, 5, 1]] * 3
    assert networks.actor_target is None
    td3 = built_model(NATIVE["td3"], 3, 2)
    networks = td3_networks(td3.policy)
    wanted = {id(parameter) for parameter in td3.policy.parameters()}
    assert {id(parameter) for parameter in networks.parameters()} == wanted
