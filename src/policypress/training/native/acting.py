"""What a network gives for a few rows, in C."""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt

from policypress.training.native.addresses import Scratch, network_of
from policypress.training.native.networks import Layers, parameters_of

Floats = npt.NDArray[np.float32]


class Acting:
    """A network's outputs for as many rows as there are environments.

    Quantized layers are rounded once, and again after :meth:`renew`.

    Args:
        library: the compiled update.
        layers: of the network.
    """

    def __init__(self, library: ctypes.CDLL, layers: Layers) -> None:
        self._compiled, self._layers = library, layers
        self._parameters = list(parameters_of(layers))
        self._addresses: list[int] = []
        self._known = False

    def renew(self) -> None:
        """Parameters or ranges are others than before."""
        self._known = False

    def __call__(self, observations: Floats) -> Floats:
        """Outputs ``(rows, outputs)`` for observations ``(rows, features)`` without gaps; the next call overwrites."""
        rows = len(observations)
        if not self._known or rows != len(self._given):
            self._point(rows)
        address = self._scratch.address
        self._compiled.pp_act(self._network, observations.ctypes.data, rows, self._known, address, self._at)
        self._known = True
        return self._given

    def _point(self, rows: int) -> None:
        """Look where the tensors are now."""
        addresses = [rows, *[tensor.data_ptr() for tensor in self._parameters]]
        if addresses == self._addresses:
            return
        self._network, self._addresses = network_of(self._layers, None), addresses
        self._scratch = Scratch(self._compiled.pp_act(self._network, None, rows, 0, None, None))
        self._given = np.empty((rows, self._network.layers[self._network.count - 1].outputs), np.float32)
        self._at = self._given.ctypes.data
        self._known = False
