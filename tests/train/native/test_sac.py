"""The native SAC learns what the fast one does."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from native_updates import FAST, NATIVE, assert_first_gradients_agree, built_model, learned, worst
from policypress_train.native.compiled import SETS

# Of a gradient, as a share of the largest: each layer on the way adds its own.
ROUNDING = {"amx": 3e-3, "plain": 5e-5}
NAMES = [kernels.name for kernels in SETS]
# A step of Adam goes as far for a small gradient as for a large one: where one is all rounding, both go another way.
STEP = 3e-4


@pytest.mark.parametrize("name", NAMES)
def test_updates_are_the_fast_ones_up_to_rounding(name: str, use: Callable[[str], None]) -> None:
    use(name)
    arguments = {"policy_kwargs": {"net_arch": [40, 24]}, "batch": 100}
    fast, native = (built_model(kinds["sac"], 7, 3, **arguments) for kinds in (FAST, NATIVE))
    assert native.kernels == name  # type: ignore[attr-defined]
    before = {key: tensor.clone() for key, tensor in native.policy.state_dict().items()}
    expected, found = learned(fast, 30), learned(native, 30)
    assert native._n_updates == fast._n_updates == 30
    assert worst(expected, found) < (20 * STEP / 4 if name == "amx" else STEP / 4)
    mean = np.mean([float((expected[key] - found[key]).abs().mean()) for key in expected])
    assert mean < (1e-5 if name == "amx" else 1e-7)
    assert min(float((found[key] - before[key]).abs().max()) for key in before) > 1e-5


@pytest.mark.parametrize(
    "more",
    [
        {"ent_coef": 0.1},
        {"ent_coef": "auto_0.5", "target_entropy": -2.0},
        {"policy_kwargs": {"net_arch": [24], "n_critics": 1}},
        {"policy_kwargs": {"net_arch": [], "n_critics": 3}},
        {"policy_kwargs": {"net_arch": {"pi": [20, 30, 10], "qf": [50]}}},
        {"target_update_interval": 3, "tau": 0.5, "gamma": 0.5},
        {"n_steps": 3},
    ],
)
def test_so_are_those_of_other_settings(more: dict[str, Any], use: Callable[[str], None]) -> None:
    use("plain")
    fast, native = (built_model(kinds["sac"], 5, 2, **more) for kinds in (FAST, NATIVE))
    assert worst(learned(fast, 12), learned(native, 12)) < STEP / 4
    for name, losses in fast._losses.items():  # type: ignore[attr-defined]
        ours = [float(loss.item()) for loss in native._losses.get(name, [])]  # type: ignore[attr-defined]
        np.testing.assert_allclose(ours, [float(loss) for loss in losses], rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("name", ["amx", "plain"])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
    arguments = {"policy_kwargs": {"net_arch": widths, "n_critics": critics}, "batch": batch}
    fast, native = (built_model(kinds["sac"], seen, done, **arguments) for kinds in (FAST, NATIVE))
    assert_first_gradients_agree(fast, native, ROUNDING[name])


def test_it_explores_as_the_fast_one() -> None:
    fast, native = (built_model(kinds["sac"], 9, 4) for kinds in (FAST, NATIVE))
    learned(fast, 3)
    native.policy.load_state_dict(fast.policy.state_dict())
    for model in (fast, native):
        model._last_obs = np.random.default_rng(0).normal(size=(5, 9))
    given = []
    for model in (fast, native):
        torch.manual_seed(4)
        given.append(model.predict(model._last_obs)[0])
        given.append(torch.rand(1).numpy())
    np.testing.assert_allclose(given[2], given[0], atol=1e-5)
    assert given[1] == given[3]  # as many random numbers were drawn


def test_what_was_loaded_is_what_learns() -> None:
    first, second = (built_model(NATIVE["sac"], 5, 2) for _ in range(2))
    learned(first, 5)
    learned(second, 2)
    second.set_parameters(deepcopy(first.get_parameters()))
    second.log_ent_coef.data = first.log_ent_coef.data.clone()  # type: ignore[attr-defined]
    one, other = learned(first, 4, seed=9), learned(second, 4, seed=9)
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name
