"""The native TD3 and DDPG learn what the fast ones do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from native_updates import FAST, NATIVE, assert_first_gradients_agree, built_model, learned, worst
from policypress_train.native.compiled import SETS

# Of a gradient, as a share of the largest: each layer on the way adds its own.
ROUNDING = {"amx": 3e-3, "plain": 5e-5}
NAMES = [kernels.name for kernels in SETS]
STEP = 1e-3


@pytest.mark.parametrize("algorithm", ["td3", "ddpg"])
@pytest.mark.parametrize("name", NAMES)
def test_updates_are_the_fast_ones_up_to_rounding(name: str, algorithm: str, use: Callable[[str], None]) -> None:
    use(name)
    arguments = {"policy_kwargs": {"net_arch": [40, 24]}, "batch": 100}
    fast, native = (built_model(kinds[algorithm], 7, 3, **arguments) for kinds in (FAST, NATIVE))
    before = {key: tensor.clone() for key, tensor in native.policy.state_dict().items()}
    expected, found = learned(fast, 30), learned(native, 30)
    assert native._n_updates == fast._n_updates == 30
    assert worst(expected, found) < (20 * STEP / 4 if name == "amx" else STEP / 4)
    mean = np.mean([float((expected[key] - found[key]).abs().mean()) for key in expected])
    assert mean < (5e-5 if name == "amx" else 1e-6)
    assert min(float((found[key] - before[key]).abs().max()) for key in before) > 1e-5


@pytest.mark.parametrize(
    "more",
    [
        {"policy_delay": 3, "target_policy_noise": 0.5, "target_noise_clip": 0.3, "tau": 0.5},
        {"policy_kwargs": {"net_arch": [], "n_critics": 1}},
        {"policy_kwargs": {"net_arch": {"pi": [20, 30, 10], "qf": [50]}, "optimizer_kwargs": {"weight_decay": 0.1}}},
        {"n_steps": 3, "gamma": 0.5},
    ],
)
def test_so_are_those_of_other_settings(more: dict[str, Any], use: Callable[[str], None]) -> None:
    use("plain")
    fast, native = (built_model(kinds["td3"], 5, 2, **more) for kinds in (FAST, NATIVE))
    assert worst(learned(fast, 12), learned(native, 12)) < STEP / 4
    for name, losses in fast._losses.items():  # type: ignore[attr-defined]
        ours = [float(loss.item()) for loss in native._losses[name]]  # type: ignore[attr-defined]
        np.testing.assert_allclose(ours, [float(loss) for loss in losses], rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("name", ["amx", "plain"])
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seen=st.integers(1, 40),
    done=st.integers(1, 18),
    widths=st.lists(st.integers(1, 70), min_size=1, max_size=3),
    batch=st.sampled_from([1, 31, 100, 256]),
    critics=st.integers(1, 2),
)
def test_gradients_are_autograd_s(
    name: str, use: Callable[[str], None], seen: int, done: int, widths: list[int], batch: int, critics: int
) -> None:
    use(name)
    policy = {"net_arch": widths, "n_critics": critics}
    fast, native = (
        built_model(kinds["td3"], seen, done, batch=batch, policy_kwargs=policy, policy_delay=1)
        for kinds in (FAST, NATIVE)
    )
    assert_first_gradients_agree(fast, native, ROUNDING[name])


def test_it_acts_as_the_fast_one() -> None:
    fast, native = (built_model(kinds["td3"], 9, 4) for kinds in (FAST, NATIVE))
    learned(fast, 3)
    native.policy.load_state_dict(fast.policy.state_dict())
    for model in (fast, native):
        model._last_obs = np.random.default_rng(0).normal(size=(5, 9))
    expected, found = (model.predict(model._last_obs)[0] for model in (fast, native))
    np.testing.assert_allclose(found, expected, atol=1e-5)
