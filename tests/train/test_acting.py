"""The acting network alone gives what the policy gives, from the very same parameters."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from policypress_train.acting import ActingNetwork, actor_optimizer
from quantized_agents import NAMES, Pictures, untrained


def expected(policy: Any, observation: Any) -> torch.Tensor:
    if hasattr(policy, "q_net"):
        return policy.q_net(observation)
    if not hasattr(policy, "actor"):
        distribution = policy.get_distribution(observation).distribution
        return distribution.logits if hasattr(distribution, "logits") else distribution.mean
    found = policy.actor(observation) if not hasattr(policy.actor, "latent_pi") else None
    return policy.actor.get_action_dist_params(observation)[0] if found is None else found


@pytest.mark.parametrize("name", NAMES)
def test_it_gives_scores_or_the_mean(name: str) -> None:
    policy = untrained(name).policy.eval()
    network = ActingNetwork(policy)
    observation = torch.randn(5, *policy.observation_space.shape)
    with torch.no_grad():
        got, wanted = network(observation), expected(policy, observation)
    if name in ("ppo", "trpo"):
        got = got.log_softmax(1)
    torch.testing.assert_close(got, wanted)
    moved = {id(p) for group in actor_optimizer(policy).param_groups for p in group["params"]}
    assert {id(parameter) for parameter in network.parameters()} <= moved


@pytest.mark.parametrize(("policy", "kind"), [("CnnPolicy", "image"), ("MultiInputPolicy", "both")])
def test_images_and_dicts_have_examples(policy: str, kind: str) -> None:
    model = untrained("dqn", None, Pictures(kind, True), policy, net_arch=(8,))
    network = ActingNetwork(model.policy)
    assert network(network.example()).shape == (2, 2)
    assert len(list(network.weighted())) == 6
