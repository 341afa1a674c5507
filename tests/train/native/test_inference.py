"""What acts in C gives what the layers say, and looks at them again when it is told to."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policypress_train.native import learning
from policypress_train.native.inference import Inference
from policypress_train.native.networks import LayerGroup, Layers
from policypress_train.qat.layers import LayerSettings, QatLinear


def actions() -> ctypes.CDLL:
    """The kernels of ``use``."""
    loaded: ctypes.CDLL = vars(learning)["library"]()[0]
    return loaded


def identity() -> torch.nn.Linear:
    layer = torch.nn.Linear(1, 1)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.zero_()
    return layer


def squashing(use: Callable[[str], None], kernels: str) -> Inference:
    use(kernels)
    return Inference(actions(), (LayerGroup((identity(),), "tanh"), LayerGroup((identity(),))))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seen=st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=200),
    kernels=st.sampled_from(["plain", "avx2", "avx512"]),
)
def test_tanh_is_within_three_units_in_the_last_place(
    seen: list[float], kernels: str, use: Callable[[str], None]
) -> None:
    everywhere = np.concatenate([np.geomspace(1e-30, 12, 4000), seen]).astype(np.float32)[:, None]
    found = squashing(use, kernels)(everywhere)
    exact = np.tanh(everywhere.astype(np.float64))
    # Below 1e-38 numbers count as 0.
    unit = np.spacing(np.maximum(np.abs(exact), 1e-30).astype(np.float32)).astype(np.float64)
    assert np.max(np.abs(found - exact) / unit) <= 3.0
    assert np.max(np.abs(found)) <= 1.0


def test_parameters_are_read_again_after_they_have_changed(use: Callable[[str], None]) -> None:
    use("plain")
    settings = LayerSettings(8, 8, per_channel=True, scaled=True)
    torch.manual_seed(0)
    layer = QatLinear(torch.nn.Linear(4, 3), settings)
    layers: Layers = (LayerGroup((layer,)),)
    seen = torch.randn(6, 4)
    layer(seen)  # observes
    acting = Inference(actions(), layers)
    for rows in (6, 2, 6):
        with torch.no_grad():
            np.testing.assert_allclose(acting(seen[:rows].numpy()), layer(seen[:rows]).numpy(), rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        layer.weight.mul_(-2.0)
        layer.bias.add_(1.0)
        before = acting(seen.numpy()).copy()
        acting.renew()
        np.testing.assert_allclose(acting(seen.numpy()), layer(seen).numpy(), rtol=1e-5, atol=1e-6)
    assert np.abs(before - acting(seen.numpy())).max() > 0.5
    layer.weight.data = torch.zeros(3, 4)  # elsewhere in memory
    acting.renew()
    np.testing.assert_allclose(acting(seen.numpy()), layer.bias.detach().expand(6, 3).numpy(), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("kernels", ["plain", "avx2", "avx512", "amx"])
@pytest.mark.parametrize("both", [False, True])
def test_any_number_of_rows_gives_what_the_layers_say(kernels: str, both: bool, use: Callable[[str], None]) -> None:
    use(kernels)
    torch.manual_seed(0)
    settings = LayerSettings(8, 8, per_channel=True, scaled=True)
    hidden = QatLinear(torch.nn.Linear(17, 40), settings)
    means = QatLinear(torch.nn.Linear(40, 6), LayerSettings(8, 8, per_channel=False, scaled=False))
    deviations = torch.nn.Linear(40, 6)
    heads = (means, QatLinear(deviations, settings) if both else deviations)
    seen = torch.randn(9, 17)
    between = torch.relu(hidden(seen))
    expected = torch.cat([head(between) for head in heads], dim=1).detach().numpy()
    acting = Inference(actions(), (LayerGroup((hidden,), "relu"), LayerGroup(heads)))
    # AMX multiplies what is not quantized as the sum of two bfloat16 numbers.
    near = {"rtol": 1e-3, "atol": 1e-4} if kernels == "amx" else {"rtol": 1e-5, "atol": 1e-5}
    for rows in range(1, 10):
        first = acting(seen[:rows].numpy()).copy()
        np.testing.assert_allclose(first, expected[:rows], **near)
        np.testing.assert_array_equal(acting(seen[:rows].numpy()), first)  # what is known is not rounded again
        acting.renew()
        np.testing.assert_array_equal(acting(seen[:rows].numpy()), first)
