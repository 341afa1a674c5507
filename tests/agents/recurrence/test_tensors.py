"""Recurrent layers among a checkpoint's tensors: their sizes, and what is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from policypress.agents.recurrence.tensors import read_recurrent
from policypress_runtime.errors import DamagedAgentError, UnsupportedAgentError


def arrays(module: nn.Module) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    return {f"memory.{name}": tensor.numpy() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
@pytest.mark.parametrize("bias", [True, False])
def test_layers_and_width_come_from_the_tensors(kind: type[nn.RNNBase], gates: int, bias: bool) -> None:
    read = read_recurrent(arrays(kind(5, 7, 3, bias=bias)), "memory.", 5, gates)  # type: ignore[call-arg]
    assert (read.layers, read.hidden, len(read.state)) == (3, 7, 12 if bias else 6)


def test_projections_and_two_directions_are_refused_by_name() -> None:
    for module, words in (
        (nn.LSTM(5, 7, proj_size=3), "projects its state"),
        (nn.LSTM(5, 7, bidirectional=True), "both directions"),
    ):
        with pytest.raises(UnsupportedAgentError, match=words):
            read_recurrent(arrays(module), "memory.", 5, 4)


@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l1", "bias_hh_l0"])
def test_a_missing_tensor_or_another_shape_is_damage(name: str) -> None:
    whole = arrays(nn.LSTM(5, 7, 2))
    without = {key: value for key, value in whole.items() if key != f"memory.{name}"}
    for tensors in (without, {**whole, f"memory.{name}": np.zeros((3, 3), np.float32)}):
        with pytest.raises(DamagedAgentError):
            read_recurrent(tensors, "memory.", 5, 4)
    with pytest.raises(DamagedAgentError, match="incomplete"):
        read_recurrent({}, "memory.", 5, 4)
    with pytest.raises(DamagedAgentError):
        read_recurrent(whole, "memory.", 6, 4)
    assert torch.is_grad_enabled()
