"""What acts in C gives what the layers say, and looks at them again when it is told to."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policypress.training.native import learning
from policypress.training.native.acting import Acting
from policypress.training.native.networks import Layers, Place
from policypress.training.qat.layers import LayerSettings, QatLinear


def chosen() -> ctypes.CDLL:
    """The kernels of ``use``."""
    loaded: ctypes.CDLL = vars(learning)["library"]()[0]
    return loaded


def identity() -> torch.nn.Linear:
    layer = torch.nn.Linear(1, 1)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.zero_()
    return layer


def squashing(use: Callable[[str], None], kernels: str) -> Acting:
    use(kernels)
    return Acting(chosen(), (Place((identity(),), "tanh"), Place((identity(),))))


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
    layers: Layers = (Place((layer,)),)
    seen = torch.randn(6, 4)
    layer(seen)  # observes
    acting = Acting(chosen(), layers)
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
