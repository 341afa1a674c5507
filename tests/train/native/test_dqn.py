"""The native DQN learns what the fast one does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from native_updates import FAST, NATIVE, built_model, learned, worst
from policypress_train.native.compiled import SETS
from policypress_train.qat.config import QatConfig
from policypress_train.qat.policies import quantized_policy

ROUNDING = {"amx": 3e-3, "plain": 5e-5}
STEP = 1e-4  # the library's learning rate


def gradients(model: Any) -> dict[str, torch.Tensor]:
    """The gradients of one step, cut to their norm, which Adam's averages are a tenth of."""
    learned(model, 1)
    state = model.policy.optimizer.state
    return {name: state[parameter]["exp_avg"] * 10 for name, parameter in model.q_net.named_parameters()}


@pytest.mark.parametrize("name", [kernels.name for kernels in SETS])
def test_updates_are_the_fast_ones_up_to_rounding(name: str, use: Callable[[str], None]) -> None:
    use(name)
    arguments = {"policy_kwargs": {"net_arch": [40, 24]}, "batch": 100}
    fast, native = (built_model(kinds["dqn"], 7, 3, **arguments) for kinds in (FAST, NATIVE))
    before = {key: tensor.clone() for key, tensor in native.policy.state_dict().items()}
    expected, found = learned(fast, 30), learned(native, 30)
    assert native._n_updates == fast._n_updates == 30
    assert worst(expected, found) < (5 * STEP if name == "amx" else STEP / 4)
    learnt = [key for key in before if "target" not in key]
    assert min(float((found[key] - before[key]).abs().max()) for key in learnt) > 1e-4


@pytest.mark.parametrize(
    "more",
    [
        {"max_grad_norm": 1e-3},
        {"policy_kwargs": {"net_arch": []}, "max_grad_norm": 1e6},
        {"policy_kwargs": {"net_arch": [20, 30, 10], "activation_fn": torch.nn.Tanh}},
        {"n_steps": 3, "gamma": 0.5},
    ],
)
def test_so_are_those_of_other_settings(more: dict[str, Any], use: Callable[[str], None]) -> None:
    use("plain")
    fast, native = (built_model(kinds["dqn"], 5, 2, **more) for kinds in (FAST, NATIVE))
    assert worst(learned(fast, 12), learned(native, 12)) < STEP / 4
    losses = [[float(loss) for loss in model._losses["train/loss"]] for model in (fast, native)]  # type: ignore[attr-defined]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)


@pytest.mark.parametrize("name", ["amx", "plain"])
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seen=st.integers(1, 40),
    done=st.integers(1, 18),
    widths=st.lists(st.integers(1, 70), max_size=3),
    batch=st.sampled_from([1, 31, 100, 256]),
    max_grad_norm=st.sampled_from([0.01, 10.0]),
)
def test_gradients_are_autograd_s(
    name: str, use: Callable[[str], None], seen: int, done: int, widths: list[int], batch: int, max_grad_norm: float
) -> None:
    use(name)
    more = {"batch": batch, "policy_kwargs": {"net_arch": widths}, "max_grad_norm": max_grad_norm}
    expected, found = (gradients(built_model(kinds["dqn"], seen, done, **more)) for kinds in (FAST, NATIVE))
    for key, slope in found.items():
        size = float(expected[key].abs().max())
        torch.testing.assert_close(slope, expected[key], rtol=0.0, atol=ROUNDING[name] * max(size, 1e-3))


@pytest.mark.parametrize("quantized", [False, True])
def test_it_acts_as_the_fast_one(quantized: bool) -> None:
    arguments: dict[str, Any] = {"policy_kwargs": {"net_arch": [40, 24]}}
    if quantized:
        policy, own = quantized_policy("dqn", QatConfig())
        arguments = {"policy": policy, "policy_kwargs": {**arguments["policy_kwargs"], **own}}
    fast, native = (built_model(kinds["dqn"], 9, 4, **arguments) for kinds in (FAST, NATIVE))
    learned(native, 20)
    fast.policy.load_state_dict(native.policy.state_dict())
    for model in (fast, native):
        model._last_obs = np.random.default_rng(0).normal(size=(200, 9))
        model.exploration_rate = 0.0  # type: ignore[attr-defined]
    expected, found = (model.predict(model._last_obs)[0] for model in (fast, native))
    assert np.mean(found == expected) > 0.99
    assert len(set(found.tolist())) > 1
    for model in (fast, native):
        model.exploration_rate = 1.0  # type: ignore[attr-defined]
        model.action_space.seed(3)
    np.testing.assert_array_equal(*(model.predict(model._last_obs)[0] for model in (fast, native)))


def test_ranges_are_the_fast_update_s(use: Callable[[str], None]) -> None:
    use("plain")
    policy, own = quantized_policy("dqn", QatConfig())
    arguments = {"policy": policy, "policy_kwargs": {"net_arch": [40, 24], **own}, "learning_rate": 0.0}
    fast, native = (built_model(kinds["dqn"], 7, 3, **arguments) for kinds in (FAST, NATIVE))
    expected, found = learned(fast, 20), learned(native, 20)
    running = [key for key in expected if "running" in key and "target" not in key]
    assert len(running) == 7
    for key in running:
        assert float(expected[key].abs().max()) > 0 or key.endswith("min")
        torch.testing.assert_close(found[key], expected[key], rtol=1e-4, atol=1e-6, msg=key)
