"""The native PPO acts and learns as the library's does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from native_rollouts import built
from native_updates import Nothing, worst
from policypress.agents.loading import load_agent
from policypress.compression.pipeline import CalibrationData, build_artifact
from policypress.compression.recipe import Recipe
from policypress.policy.importers.from_agent import policy_from_agent
from policypress.training_package import TrainingRequest
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import TrainingInputError
from policypress_train.hyperparameters.preparing import prepare
from policypress_train.native.compiled import SETS
from policypress_train.native.networks import actor_critic
from policypress_train.native.ppo import NativePPO
from policypress_train.qat.config import QatConfig
from policypress_train.qat.policies import quantized_policy
from policypress_train.trainer import TrainOptions, train

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch")
ROUNDING = {"amx": 3e-3, "plain": 1e-4}
STEP = 3e-4  # the library's learning rate


def both(seen: int, done: int, discrete: bool, *, steps: int = 256, **more: Any) -> tuple[PPO, PPO]:
    """The library's and the native one after so many steps."""
    return tuple(built(kind, seen, done, discrete, **more).learn(steps) for kind in (PPO, NativePPO))  # type: ignore[return-value]


@pytest.mark.parametrize("discrete", [False, True])
@pytest.mark.parametrize("name", [kernels.name for kernels in SETS])
def test_updates_are_the_library_s_up_to_rounding(name: str, discrete: bool, use: Callable[[str], None]) -> None:
    use(name)
    expected, found = (model.policy.state_dict() for model in both(7, 3, discrete))
    assert worst(expected, found) < (5 * STEP if name == "amx" else STEP / 4)
    begun = built(PPO, 7, 3, discrete).policy.state_dict()
    assert min(float((found[key] - begun[key]).abs().max()) for key in begun) > 1e-4


@pytest.mark.parametrize("discrete", [False, True])
@pytest.mark.parametrize(
    "more",
    [
        {"clip_range": 0.01, "clip_range_vf": 0.01, "ent_coef": 0.1, "vf_coef": 2.0},
        {"normalize_advantage": False, "max_grad_norm": 1e-2, "batch_size": 50},
        {"policy_kwargs": {"net_arch": {"pi": [20, 10, 30], "vf": []}, "activation_fn": torch.nn.ReLU}},
        {"policy_kwargs": {"net_arch": [8], "share_features_extractor": False, "ortho_init": False}},
        {"target_kl": 1e-4, "learning_rate": lambda left: 1e-3 * left},
    ],
)
def test_so_are_those_of_other_settings(more: dict[str, Any], discrete: bool, use: Callable[[str], None]) -> None:
    use("plain")
    stock, native = both(5, 4, discrete, **more)
    assert worst(stock.policy.state_dict(), native.policy.state_dict()) < STEP / 4
    assert native._n_updates == stock._n_updates
    logged = stock.logger.name_to_value  # the last update's
    assert len(logged) > 8
    assert logged.keys() == native.logger.name_to_value.keys()
    for name, value in logged.items():
        if name.startswith("train/"):
            assert native.logger.name_to_value[name] == pytest.approx(value, rel=1e-3, abs=1e-5), name


@pytest.mark.parametrize("name", ["amx", "plain"])
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 18)),
    discrete=st.booleans(),
    widths=st.lists(st.integers(1, 70), max_size=3),
    batch=st.sampled_from([2, 31, 100, 128]),
    activation=st.sampled_from([torch.nn.ReLU, torch.nn.Tanh]),
    max_grad_norm=st.sampled_from([0.01, 10.0]),
)
def test_gradients_are_autograd_s(
    name: str,
    use: Callable[[str], None],
    sizes: tuple[int, int],
    discrete: bool,
    widths: list[int],
    batch: int,
    activation: Any,
    max_grad_norm: float,
) -> None:
    use(name)
    policy = {"net_arch": widths, "activation_fn": activation}
    # The gradient of the second update, of a policy that stands: the first rollout's is left, see below.
    more = {"n_steps": 64, "batch_size": batch, "n_epochs": 1, "ent_coef": 0.05, "learning_rate": 0.0}
    found = []
    for model in both(*sizes, discrete, steps=128, policy_kwargs=policy, max_grad_norm=max_grad_norm, **more):
        state = model.policy.optimizer.state
        # Adam's average is of the gradients of one epoch.
        found.append({key: state[value]["exp_avg"] for key, value in model.policy.named_parameters()})
    largest = max(float(slope.abs().max()) for slope in found[0].values())
    for key, slope in found[1].items():
        torch.testing.assert_close(slope, found[0][key], rtol=0.0, atol=ROUNDING[name] * largest, msg=key)


@pytest.mark.parametrize("networks", ["actor", "all"])
@pytest.mark.parametrize("discrete", [False, True])
def test_quantized_it_learns_and_acts_by_the_ranges_in_force(
    discrete: bool, networks: Any, use: Callable[[str], None]
) -> None:
    use("plain")
    policy, own = quantized_policy("ppo", QatConfig(networks=networks))
    more = {"policy": policy, "policy_kwargs": {"net_arch": [40, 24], **own}}
    for steps in (128, 384):
        stock, native = (model.policy.state_dict() for model in both(7, 3, discrete, steps=steps, **more))
        running = [key for key in stock if "running" in key]
        assert len(running) == (7 if networks == "actor" else 14)
        for key in running:
            torch.testing.assert_close(native[key], stock[key], rtol=2e-3, atol=1e-5, msg=key)
        # A value on the middle of two integers goes either way, and Adam makes whole steps of small gradients.
        gaps = torch.cat([(native[key] - stock[key]).abs().flatten() for key in stock if key not in running])
        assert float((gaps < STEP / 4).float().mean()) > 0.99
    plain = both(7, 3, discrete, steps=384, policy_kwargs={"net_arch": [40, 24]})[1].policy.state_dict()
    assert worst(plain, {key: native[key] for key in plain}) > STEP


def test_its_policy_acts_as_ever_between_rollouts() -> None:
    model = built(NativePPO, 5, 2, False).learn(128)
    assert "forward" not in vars(model.policy)
    seen = torch.randn(3, 5)
    torch.manual_seed(0)
    expected = model.policy(seen)
    torch.manual_seed(0)
    with model._acting_in_c():  # type: ignore[attr-defined]
        found = model.policy(seen)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"use_sde": True}, "use_sde"),
        ({"policy_kwargs": {"activation_fn": torch.nn.ELU}}, "ELU"),
        ({"policy_kwargs": {"net_arch": [4] * 16}}, "17 layers"),
        ({"policy_kwargs": {"optimizer_class": torch.optim.SGD}}, "SGD"),
    ],
)
def test_what_it_does_not_know_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(TrainingInputError, match=rf"does not support this agent[\s\S]*{said}[\s\S]*--update fast"):
        built(NativePPO, 3, 2, False, **more).learn(128)


def test_actions_that_are_neither_numbers_nor_numbered_are_refused() -> None:
    class Several(Nothing):
        def __init__(self) -> None:
            super().__init__(3, 2)
            self.action_space = gymnasium.spaces.MultiDiscrete([2, 3])

    with pytest.raises(TrainingInputError, match="actions of MultiDiscrete"):
        NativePPO("MlpPolicy", DummyVecEnv([Several]), device="cpu")


def test_the_layers_are_the_policy_s() -> None:
    model = built(NativePPO, 3, 2, False, policy_kwargs={"net_arch": {"pi": [8, 9], "vf": [4]}})
    networks = actor_critic(model.policy)
    assert [(place.parts[0].out_features, place.activation) for place in networks.actor] == [
        (8, "tanh"),
        (9, "tanh"),
        (2, "nothing"),
    ]
    wanted = {id(parameter) for parameter in model.policy.parameters()}
    assert {id(parameter) for parameter in networks.parameters()} == wanted


def test_the_artifact_computes_what_was_learned(tmp_path: Any) -> None:
    stated = [("net_arch", [32, 32]), ("n_steps", 64), ("batch_size", 32), ("use_sde", False)]
    environment = EnvironmentSpec("CartPole-v1")
    spec = prepare(
        TrainingRequest("ppo", environment, steps=600, overrides=stated, update="native", qat=QatConfig())
    ).spec
    record = train(spec, tmp_path / "agent.zip", options=TrainOptions(evaluate_every=0))
    assert record.to_json()["kernels"] in [kernels.name for kernels in SETS]
    policy = policy_from_agent(load_agent(tmp_path / "agent.zip"))
    seen = np.random.default_rng(0).normal(size=(400, 4)).astype(np.float32)
    compressed = build_artifact(policy, Recipe.parse("qat"), CalibrationData(seen, seen, seen))
    assert compressed.artifact.contract.precision == "int8"
    assert compressed.artifact.parity.share_within >= 0.999
