"""Quantized policies in the six algorithms: the pitfalls of quantizing inside reinforcement learning, one test each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from policypress_runtime.errors import TrainingInputError
from policypress_train.algorithms import ALGORITHMS
from policypress_train.qat.config import QatConfig
from policypress_train.qat.networks import quantized_layers
from policypress_train.qat.policies import CLASSES, quantized_policy
from quantized_agents import CASES, NAMES, Pictures, trained, untrained

ON_POLICY = ("ppo", "trpo")
Maker = Callable[[str, str], BaseAlgorithm]
ACTOR = {
    "dqn": ["q_net.q_net.0", "q_net.q_net.2", "q_net.q_net.4"],
    "td3": ["actor.mu.0", "actor.mu.2", "actor.mu.4"],
    "sac": ["actor.latent_pi.0", "actor.latent_pi.2", "actor.mu"],
    "ppo": ["mlp_extractor.policy_net.0", "mlp_extractor.policy_net.2", "action_net"],
}
VALUE = {
    "dqn": [],
    "td3": [f"critic.qf{critic}.{index}" for critic in range(2) for index in (0, 2, 4)],
    "sac": [f"critic.qf{critic}.{index}" for critic in range(2) for index in (0, 2, 4)],
    "ppo": ["mlp_extractor.value_net.0", "mlp_extractor.value_net.2", "value_net"],
}
TARGETS = {"q_net.": "q_net_target.", "actor.": "actor_target.", "critic.": "critic_target."}


def intended(name: str, networks: str) -> set[str]:
    alike = {"ddpg": "td3", "trpo": "ppo"}.get(name, name)
    online = ACTOR[alike] + (VALUE[alike] if networks == "all" else [])
    if name == "ddpg":
        online = [layer for layer in online if ".qf1." not in layer]
    mirrored = [
        start.replace(start, target) + layer.removeprefix(start)
        for layer in online
        for start, target in TARGETS.items()
        if layer.startswith(start) and (name, start) != ("sac", "actor.")
    ]
    return {*online, *mirrored}


@pytest.fixture(scope="module")
def agent() -> Maker:
    made: dict[tuple[str, str], BaseAlgorithm] = {}

    def maker(name: str, networks: str) -> BaseAlgorithm:
        if (name, networks) not in made:
            made[name, networks] = trained(name, QatConfig(networks=networks))  # type: ignore[arg-type]
        return made[name, networks]

    return maker


def observers(model: BaseAlgorithm) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.policy.state_dict().items() if ".running_" in name}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("networks", ["actor", "all"])
@pytest.mark.parametrize("name", NAMES)
def test_every_intended_quantizer_exists_and_has_moved(agent: Maker, name: str, networks: str) -> None:
    layers = quantized_layers(agent(name, networks).policy)
    assert set(layers) == intended(name, networks)
    for layer in layers.values():
        assert float(layer.running_min) < float(layer.running_max)
        if layer.settings.scaled:
            assert bool((layer.running_peak > 0).all())


@pytest.mark.parametrize("name", NAMES)
def test_observations_are_scaled_once_and_in_the_raw_form_never(agent: Maker, name: str) -> None:
    first = {layer for layer in intended(name, "all") if layer.endswith(".0")}
    scaled = {n for n, layer in quantized_layers(agent(name, "all").policy).items() if layer.settings.scaled}
    assert scaled == first
    raw = untrained(name, QatConfig(networks="all", observation_scaling=False, per_channel=False))
    assert not any("peak" in key for key in raw.policy.state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_the_log_std_is_never_quantized(agent: Maker, name: str) -> None:
    assert not any("log_std" in layer for layer in quantized_layers(agent(name, "all").policy))


@pytest.mark.parametrize("networks", ["actor", "all"])
@pytest.mark.parametrize("name", NAMES)
def test_only_observers_are_added_to_what_the_library_has(name: str, networks: str) -> None:
    """Names, order and values of parameters, the generator's state and the optimizers are those of fp32."""
    quantized = untrained(name, QatConfig(networks=networks))  # type: ignore[arg-type]
    after = torch.get_rng_state()
    stock = untrained(name)
    assert torch.equal(torch.get_rng_state(), after)
    expected, got = stock.policy.state_dict(), quantized.policy.state_dict()
    assert [key for key in got if ".running_" not in key] == list(expected)
    assert all(torch.equal(got[key], expected[key]) for key in expected)
    assert [n for n, _ in quantized.policy.named_parameters()] == [n for n, _ in stock.policy.named_parameters()]
    optimized = {
        parameter
        for module in (quantized.policy, getattr(quantized, "actor", None), getattr(quantized, "critic", None))
        for group in (module.optimizer.param_groups if getattr(module, "optimizer", None) else ())
        for parameter in group["params"]
    }
    held = {id(parameter) for parameter in quantized.policy.parameters()}
    assert optimized
    assert {id(parameter) for parameter in optimized} <= held


@pytest.mark.parametrize("name", NAMES)
def test_observers_begin_finite_and_stay_so_on_their_way_to_the_target(agent: Maker, name: str) -> None:
    for model in (untrained(name, QatConfig(networks="all")), agent(name, "all")):
        assert observers(model)
        assert all(bool(torch.isfinite(tensor).all()) for tensor in model.policy.state_dict().values())


@pytest.mark.parametrize(("name", "pairs"), [("dqn", 1), ("td3", 2), ("ddpg", 2), ("sac", 1)])
def test_ranges_of_targets_are_those_of_their_online_networks(agent: Maker, name: str, pairs: int) -> None:
    """Copied whole at every update of the target, whatever tau is."""
    model = agent(name, "all")
    if name == "dqn":
        model._n_calls = 7
        model._on_step()
    state = observers(model)
    copied = [start for start, target in TARGETS.items() if any(key.startswith(target) for key in state)]
    assert len(copied) == pairs
    for key, tensor in state.items():
        for start in copied:
            if key.startswith(start):
                assert torch.equal(state[TARGETS[start] + key.removeprefix(start)], tensor), key


@pytest.mark.parametrize("name", NAMES)
def test_observers_are_still_when_the_agent_acts_or_a_target_is_asked(agent: Maker, name: str) -> None:
    model = agent(name, "all")
    before = observers(model)
    wild = np.full((3, *(model.observation_space.shape or ())), 1e6, np.float32)
    for deterministic in (True, False):
        model.predict(wild, deterministic=deterministic)
    seen = torch.from_numpy(wild)
    with torch.no_grad():
        model.policy.set_training_mode(True)
        model.policy(seen)
    for target in ("q_net_target", "actor_target"):
        if hasattr(model.policy, target):
            getattr(model.policy, target)(seen)
    if hasattr(model.policy, "critic_target"):
        model.policy.critic_target(seen, torch.zeros(3, 1))
    model.policy.set_training_mode(False)
    assert same(observers(model), before)


@pytest.mark.parametrize("name", ON_POLICY)
def test_ranges_in_force_are_the_same_from_the_start_of_a_rollout_to_the_end_of_the_update(name: str) -> None:
    model = untrained(name, QatConfig(networks="all"))
    moments: list[tuple[str, dict[str, Tensor]]] = []

    def watched(moment: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **keywords: Any) -> Any:
            result = function(*arguments, **keywords)
            held = dict(model.policy.named_buffers())
            moments.append((moment, {key: held[key].clone() for key in held if ".held_" in key}))
            return result

        return run

    model.collect_rollouts = watched("rollout", model.collect_rollouts)  # type: ignore[attr-defined]
    model.train = watched("update", model.train)  # type: ignore[attr-defined]
    model.learn(3 * model.n_steps)  # type: ignore[attr-defined]
    assert [moment for moment, _ in moments] == ["rollout", "update"] * 3
    in_force = [held for _, held in moments]
    for rollout, update in zip(in_force[::2], in_force[1::2], strict=True):
        assert rollout
        assert same(rollout, update)
    assert not same(in_force[0], in_force[2])
    assert not same(in_force[2], in_force[4])


def test_the_line_search_of_trpo_asks_without_moving_anything() -> None:
    model = trained("trpo", QatConfig())
    policy: Any = model.policy
    asked: list[tuple[bool, bool]] = []
    original = policy.get_distribution

    def watched(observations: Tensor) -> Any:
        before = observers(model)
        found = original(observations * 100)
        asked.append((torch.is_grad_enabled(), same(observers(model), before)))
        return found

    policy.get_distribution = watched
    model.train()  # type: ignore[attr-defined]
    assert {still for gradients, still in asked if not gradients} == {True}
    assert {still for gradients, still in asked if gradients} == {False}
    # The old distribution, and at least one try of the search.
    assert sum(not gradients for gradients, _ in asked) >= 2


def test_trpo_s_second_order_products_are_finite_and_it_takes_steps() -> None:
    model = untrained("trpo", QatConfig())
    successes = []
    for _ in range(4):
        before = [parameter.detach().clone() for parameter in model.policy.mlp_extractor.policy_net.parameters()]
        model.learn(64, reset_num_timesteps=False)
        after = list(model.policy.mlp_extractor.policy_net.parameters())
        assert all(bool(torch.isfinite(parameter).all()) for parameter in after)
        successes.append(any(not torch.equal(a, b) for a, b in zip(before, after, strict=True)))
    assert successes.count(True) >= 3


@pytest.mark.parametrize("networks", ["actor", "all"])
@pytest.mark.parametrize("name", NAMES)
def test_the_library_saves_and_loads_it_to_the_bit(agent: Maker, name: str, networks: str, tmp_path: Path) -> None:
    model = agent(name, networks)
    model.save(tmp_path / "agent.zip")
    loaded = ALGORITHMS[name].stock.load(tmp_path / "agent.zip", device="cpu")
    assert type(loaded.policy) is type(model.policy)
    assert same(loaded.policy.state_dict(), model.policy.state_dict())
    observations = np.random.default_rng(0).standard_normal((64, *(model.observation_space.shape or ())))
    got, expected = (m.predict(observations.astype(np.float32), deterministic=True)[0] for m in (loaded, model))
    assert np.array_equal(got, expected)


def test_the_class_can_be_named_where_its_pickle_shall_not_be_trusted(agent: Maker, tmp_path: Path) -> None:
    agent("sac", "actor").save(tmp_path / "agent.zip")
    kind, more = quantized_policy("sac", QatConfig())
    stated = {"policy_class": kind, "policy_kwargs": {"net_arch": [16, 16], "use_sde": False, **more}}
    loaded = ALGORITHMS["sac"].stock.load(tmp_path / "agent.zip", device="cpu", custom_objects=stated)
    assert same(loaded.policy.state_dict(), agent("sac", "actor").policy.state_dict())


@pytest.mark.parametrize("bits", [2, 3, 5])
@pytest.mark.parametrize("name", ["dqn", "td3", "ppo"])
def test_few_bits_learn_without_error(name: str, bits: int) -> None:
    model = trained(name, QatConfig(weight_bits=bits, activation_bits=bits, networks="all"))
    layers = quantized_layers(model.policy)
    assert {(layer.settings.weight_bits, layer.settings.activation_bits) for layer in layers.values()} == {(bits, bits)}
    assert all(bool(torch.isfinite(parameter).all()) for parameter in model.policy.parameters())


@pytest.mark.parametrize("name", ["sac", "td3", "ppo"])
def test_a_policy_without_hidden_layers_scales_and_quantizes_its_output_layer(name: str) -> None:
    arch = {"pi": [], "vf" if name == "ppo" else "qf": [8]}
    layers = quantized_layers(trained(name, QatConfig(), net_arch=arch).policy)
    online = {n: layer for n, layer in layers.items() if "target" not in n}
    assert set(online) == {"action_net" if name == "ppo" else "actor.mu" if name == "sac" else "actor.mu.0"}
    assert all(layer.settings.scaled for layer in online.values())


@pytest.mark.parametrize("name", ["dqn", "td3", "sac", "ppo"])
@pytest.mark.parametrize(("policy", "kind"), [("CnnPolicy", "image"), ("MultiInputPolicy", "both")])
def test_images_and_dicts_are_quantized_with_their_extractors(name: str, policy: str, kind: str) -> None:
    environment = Pictures(kind, discrete=name == "dqn")
    small = {"features_dim": 8} if kind == "image" else {"cnn_output_dim": 8}
    config = QatConfig(networks="all")
    model = untrained(name, config, environment, policy, features_extractor_kwargs=small, net_arch=(8,))
    assert type(model.policy) is CLASSES[name][policy]
    model.learn(max(CASES[name][2] // 2, 48))
    layers = quantized_layers(model.policy)
    convolutions = [layer for n, layer in layers.items() if ".cnn." in n]
    assert convolutions
    for n, layer in layers.items():
        first_dense = n.endswith(("q_net.0", "mu.0", "latent_pi.0", "_net.0", "qf0.0", "qf1.0"))
        assert layer.settings.scaled == (kind == "both" and first_dense), n
        assert float(layer.running_min) < float(layer.running_max), n
    weighted = [m for m in model.policy.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d)]
    floats = [m for m in weighted if m not in layers.values()]
    assert len(floats) == (1 if name == "sac" else 0)


@pytest.mark.parametrize("name", ["td3", "sac"])
def test_a_shared_extractor_is_quantized_in_the_target_too(name: str) -> None:
    """Else the library could not copy running statistics, whose lists would differ in length."""
    model = trained(
        name,
        QatConfig(),
        Pictures("image", discrete=False),
        "CnnPolicy",
        net_arch=(8,),
        features_extractor_kwargs={"features_dim": 8},
        share_features_extractor=True,
    )
    assert len(quantized_layers(model.policy.critic_target.features_extractor)) == 4


def test_an_unknown_policy_is_an_error_that_names_the_known() -> None:
    with pytest.raises(TrainingInputError, match="MlpPolicy, CnnPolicy, MultiInputPolicy"):
        quantized_policy("dqn", QatConfig(), "LstmPolicy")
    with pytest.raises(TrainingInputError, match="dqn, td3, ddpg, sac, ppo, trpo"):
        quantized_policy("a2c", QatConfig())
