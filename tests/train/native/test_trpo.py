"""The native TRPO acts and learns values as the library's does; its actor's step is the library's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from sb3_contrib import TRPO

from native_rollouts import built
from native_updates import worst
from policypress_train.native.compiled import SETS
from policypress_train.native.trpo import NativeTRPO
from policypress_train.qat.config import QatConfig
from policypress_train.qat.policies import quantized_policy

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch")
STEP = 1e-3  # the library's learning rate of values


def both(discrete: bool, *, steps: int = 128, **more: Any) -> tuple[Any, Any]:
    """The library's and the native one after so many steps."""
    arguments = {"n_epochs": None, "n_critic_updates": 3, "batch_size": 50, **more}
    return tuple(built(kind, 7, 3, discrete, **arguments).learn(steps) for kind in (TRPO, NativeTRPO))  # type: ignore[return-value]


@pytest.mark.parametrize("discrete", [False, True])
@pytest.mark.parametrize("name", [kernels.name for kernels in SETS])
def test_updates_are_the_library_s_up_to_rounding(name: str, discrete: bool, use: Callable[[str], None]) -> None:
    use(name)
    stock, native = both(discrete)
    expected, found = stock.policy.state_dict(), native.policy.state_dict()
    critic = [key for key in expected if "value" in key]
    assert len(critic) == 6
    assert worst({key: expected[key] for key in critic}, {key: found[key] for key in critic}) < (
        5 * STEP if name == "amx" else STEP / 4
    )
    # A conjugate gradient of many steps makes more of a last bit.
    acting = [key for key in expected if key not in critic]
    assert worst({key: expected[key] for key in acting}, {key: found[key] for key in acting}) < 2e-3
    begun = built(TRPO, 7, 3, discrete, n_epochs=None).policy.state_dict()
    assert min(float((found[key] - begun[key]).abs().max()) for key in begun) > 1e-4
    logged, ours = stock.logger.name_to_value, native.logger.name_to_value
    assert logged.keys() == ours.keys()
    assert ours["train/value_loss"] == pytest.approx(logged["train/value_loss"], rel=1e-3)
    # What is saved is what the library saves: of the actor the optimizer knows nothing.
    assert len(native.policy.optimizer.state) == len(stock.policy.optimizer.state) == 6
    assert native.n_critic_updates == 3


@pytest.mark.parametrize("networks", ["actor", "all"])
def test_quantized_it_observes_the_same_ranges(networks: Any, use: Callable[[str], None]) -> None:
    use("plain")
    policy, own = quantized_policy("trpo", QatConfig(networks=networks))
    more = {"policy": policy, "policy_kwargs": {"net_arch": [40, 24], **own}}
    stock, native = (model.policy.state_dict() for model in both(False, **more))
    running = [key for key in stock if "running" in key]
    assert len(running) == (7 if networks == "actor" else 14)
    for key in running:
        torch.testing.assert_close(native[key], stock[key], rtol=2e-3, atol=1e-5, msg=key)
    longer = both(False, steps=384, **more)[1].policy.state_dict()
    assert all(bool(torch.isfinite(tensor).all()) for tensor in longer.values())
