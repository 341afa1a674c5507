"""Ranges of quantization-aware training, read as data and refused where they cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from policypress.agents.bundle import LearnedQuantizer
from policypress.agents.sb3.data import Sb3Data
from policypress.agents.sb3.learned_ranges import MODULES, read_quantizers, split_ranges
from policypress_runtime.errors import DamagedAgentError

BITS = {"weight_bits": 8, "activation_bits": 6, "networks": "actor", "observation_scaling": True, "per_channel": False}


def array(*values: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array(values[0] if len(values) == 1 else values, np.float32)


def data(qat: Any = BITS) -> Sb3Data:
    return Sb3Data({}, MODULES[0], None, {"net_arch": [2], **({} if qat is None else {"qat": qat})}, ())


def state() -> dict[str, Any]:
    return {"actor.mu.weight": np.zeros((2, 3), np.float32), "actor.mu.bias": np.zeros(2, np.float32)}


def observers(low: Any = None, high: Any = None, peak: Any = None) -> dict[str, Any]:
    parts = {"min": array(-1.5) if low is None else low, "max": array(2.0) if high is None else high}
    return {"actor.mu": parts | ({} if peak is None else {"peak": peak})}


def test_observers_are_told_from_tensors_and_from_batch_normalisation() -> None:
    norm = {
        "net.1.running_mean": array(1.0, 2.0),
        "net.1.running_var": array(1.0, 1.0),
        "net.1.weight": array(1.0, 1.0),
    }
    alone = {"net.2.running_max": array(3.0)}
    ours = {"net.0.running_min": array(0.0), "net.0.running_max": array(1.0), "net.0.running_peak": array(1.0, 2.0)}
    rest, found = split_ranges(norm | alone | ours)
    assert rest.keys() == (norm | alone).keys()
    assert {layer: set(parts) for layer, parts in found.items()} == {"net.0": {"min", "max", "peak"}}


def test_quantizers_of_acting_layers() -> None:
    peaks = array(1.0, 0.0, 0.25)
    critics = {"critic.qf0.0": {"min": array(5.0), "max": array(-5.0)}}
    found = read_quantizers(data(), observers(peak=peaks) | critics, state())
    assert found == {"actor.mu": LearnedQuantizer(-1.5, 2.0, (1.0, 0.0, 0.25), 8, 6, False)}
    assert read_quantizers(data(), observers(), state())["actor.mu"].peak is None


def test_an_agent_in_fp32_has_none_and_needs_no_bits() -> None:
    assert read_quantizers(data(None), {}, state()) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        observers(low=array(0.5)),
        observers(high=array(-0.5)),
        observers(low=array(-1.0, -2.0)),
        observers(peak=array(1.0, 2.0)),
        observers(peak=array(1.0, -2.0, 3.0)),
        observers(peak=array(1.0)),
    ],
)
def test_ranges_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DamagedAgentError, match=r"actor\.mu"):
        read_quantizers(data(), wrong, state())


@pytest.mark.parametrize(
    "qat", [None, "8", {}, {**BITS, "weight_bits": 1}, {**BITS, "activation_bits": 8.0}, {**BITS, "per_channel": "yes"}]
)
def test_bits_that_are_missing_or_wrong_are_refused(qat: Any) -> None:
    with pytest.raises(DamagedAgentError, match="bit widths"):
        read_quantizers(data(qat), observers(), state())
