"""Inference of a few rows in C, for exploration."""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt

from policypress_train.native.networks import Layers, parameters_of
from policypress_train.native.pointers import Scratch, network_of

Floats = npt.NDArray[np.float32]


class Inference:
    """Forward pass of a network for one row per environment.

    Quantized layers are rounded once, and again after :meth:`renew`.

    Args:
        library: the compiled update.
        layers: of the network.
    """

    def __init__(self, library: ctypes.CDLL, layers: Layers) -> None:
        self._compiled, self._layers = library, layers
        self._parameters = list(parameters_of(layers))
        self._pointers: list[int] = []
        self._cached = False

    def renew(self) -> None:
        """Call after parameters or ranges have changed."""
        self._cached = False

    def __call__(self, observations: Floats) -> Floats:
        """Outputs ``(rows, outputs)`` for contiguous ``(rows, features)``; the next call overwrites them."""
        rows = len(observations)
        if not self._cached or rows != len(self._given):
            self._point(rows)
        address = self._scratch.address
        self._compiled.pp_act(self._network, observations.ctypes.data, rows, self._cached, address, self._at)
        self._cached = True
        return self._given

    def _point(self, rows: int) -> None:
        """Read the tensors' current pointers."""
        pointers = [rows, *[tensor.data_ptr() for tensor in self._parameters]]
        if pointers == self._pointers:
            return
        self._network, self._pointers = network_of(self._layers, None), pointers
        self._scratch = Scratch(self._compiled.pp_act(self._network, None, rows, 0, None, None))
        self._given = np.empty((rows, self._network.layers[self._network.count - 1].outputs), np.float32)
        self._at = self._given.ctypes.data
        self._cached = False
