"""Rounding by NumPy on the host and by torch elsewhere: the same bits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from policypress_train.qat import rounding

GRID = (0.013, -0.013 * 40, 0.013 * 215)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a device whose memory NumPy cannot reach."""
    monkeypatch.setattr(rounding, "on_host", lambda tensor: False)


def everything(values: torch.Tensor, steps: int, axes: tuple[int, ...]) -> list[torch.Tensor]:
    """What every function of the module makes of ``values``."""
    inside = values.clamp(GRID[1], GRID[2])
    rounding.round_to(inside, GRID[0])
    weight, scale = rounding.rounded_weight(values, steps, axes)
    bias = values[:, 0].clone()
    rounding.round_bias(bias, scale, GRID[0])
    numbers = torch.tensor([*rounding.value_range(values), rounding.largest(values)])
    clamped = rounding.clamped_and_rounded(values, GRID)
    return [inside, weight, scale, bias, clamped, numbers, *rounding.feature_ranges(values)]


@given(
    seed=st.integers(0, 2**20),
    rows=st.sampled_from([1, 3, 300]),
    columns=st.sampled_from([1, 7, 64]),
    magnitude=st.sampled_from([1e-42, 1e-6, 1.0, 1e20]),
    bits=st.integers(2, 8),
    per_channel=st.booleans(),
)
def test_host_and_device_agree_to_the_bit(
    seed: int, rows: int, columns: int, magnitude: float, bits: int, per_channel: bool
) -> None:
    torch.manual_seed(seed)
    values = torch.randn(rows, columns) * magnitude
    values[0] = 0.0
    steps, axes = 2 ** (bits - 1) - 1, (1,) if per_channel else ()
    here = everything(values, steps, axes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounding, "on_host", lambda tensor: False)
        there = everything(values, steps, axes)
    assert all(torch.equal(left, right) for left, right in zip(here, there, strict=True))


def test_a_bias_beyond_int32_stops_there_without_a_warning() -> None:
    bias = torch.tensor([1.0, -1.0, 0.5, 1e30])
    rounding.round_bias(bias, torch.tensor([[1e-12], [1e-12], [1.0], [1e-30]]), 1.0)
    assert bias[:2].tolist() == pytest.approx([2.0**31 * 1e-12, -(2.0**31) * 1e-12])
    assert bias[2] == 0.0
    assert bias[3] == pytest.approx(2.0**31 * 1e-30)


@pytest.mark.usefixtures("elsewhere")
def test_a_diverged_weight_is_no_error_elsewhere_either() -> None:
    weight, _ = rounding.rounded_weight(torch.tensor([[float("inf"), 1.0]]), 127, (1,))
    assert bool(weight.isnan().any())


def test_a_diverged_weight_is_no_error() -> None:
    weight, scale = rounding.rounded_weight(torch.tensor([[float("inf"), 1.0]]), 127, (1,))
    bias = torch.tensor([1.0])
    rounding.round_bias(bias, scale, 1.0)
    assert bool(weight.isnan().any())


@pytest.mark.parametrize("host", [True, False])
def test_bounds_are_within_others_element_by_element(host: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounding, "on_host", lambda tensor: host)
    low, high = torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 2.0])
    assert rounding.within((low, high), (low, high))
    assert not rounding.within((low - torch.tensor([0.0, 1e-6]), high), (low, high))
    assert not rounding.within((low, high + torch.tensor([1e-6, 0.0])), (low, high))


@pytest.mark.parametrize("size", [8, 20_000])
def test_same_is_by_content(size: int) -> None:
    one = torch.arange(size, dtype=torch.float32)
    other = one.clone()
    assert rounding.same(one, other)
    other[-1] += 1
    assert not rounding.same(one, other)
    assert not rounding.same(one, one.to("meta"))
