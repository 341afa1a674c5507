"""How weights and biases lie in the generated C, and what that layout is called there.

Every dense layer and convolution is a matrix of N output columns by K inputs, where K is ``segments`` runs of ``run``
values: a dense layer has one run, a convolution over (height, width, channel) one per row of its kernel. The matrix is
cut into *panels* of columns, and a panel's weights follow each other in the order in which a kernel reads them:

- 8 bits: ``[panel][segment][run / 4][column][4]``. Four inputs of one column (a *quad*) are what one lane of
  ``vpdpbusd``, ``sdot`` or two ``smlad`` multiplies at once. Runs are padded to a multiple of 4 with weights of 0.
- 4 bits: ``[panel][segment][run / 8][column][4]`` bytes; the low half of a byte belongs to an even quad, the high half
  to the odd one after it. Each is a signed integer from -8 to 7 in two's complement.
- float: ``[panel][segment][run][column]``, unpadded runs.

A panel has ``Layout.panel`` columns, the last one the rest, padded to a multiple of ``Layout.columns`` with columns of
0; biases and multipliers are padded alike. So a kernel reads weights once and in order, whether it works on one
observation, on several, or on the pixels of an image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from policypress_runtime.errors import NetworkError

Kind = TypeVar("Kind", bound=np.generic)
INT32_MAX = 2**31 - 1
HIGHEST_ACTIVATION = 256
"""Bound of an activation's magnitude, less 128 or not."""


@dataclass(frozen=True)
class Layout:
    """Where a panel ends, and how activations are taken.

    Attributes:
        name: for reports and messages.
        columns: a panel's columns are padded to a multiple of this.
        panel: columns of a full panel, a multiple of ``columns``.
        signed: kernels take activations less 128, as signed bytes; biases hold 128 times the column's sum of weights.
    """

    name: str
    columns: int
    panel: int
    signed: bool

    @property
    def defines(self) -> dict[str, int]:
        """The preprocessor's side of it: to be defined before ``platform.h``."""
        return {"PP_COLUMNS": self.columns, "PP_PANEL": self.panel, "PP_SIGNED": int(self.signed)}

    def padded(self, n: int) -> int:
        """``n`` columns with the padding of the last panel."""
        return -(-n // self.columns) * self.columns


QUADS = Layout("quads", columns=16, panel=64, signed=False)
"""x86: four ``zmm`` accumulators to a panel, u8 activations by s8 weights."""
SIGNED_QUADS = Layout("signed quads", columns=16, panel=64, signed=True)
"""aarch64: ``sdot`` and ``smull`` multiply signed by signed."""
NARROW = Layout("narrow", columns=4, panel=4, signed=False)
"""Microcontrollers and freestanding C: four columns, so that little is padding and the sums fit the registers."""
LAYOUTS = {
    "host": QUADS,
    "aarch64": SIGNED_QUADS,
    **dict.fromkeys(("cortex-m4", "cortex-m7", "cortex-m33", "freestanding"), NARROW),
}
"""Layout of each target that has kernels of its own; all others have the last."""


def pack_int8(weight: NDArray[np.int8], layout: Layout) -> NDArray[np.int8]:
    """Pack 8-bit weights of shape (N, segments, run); returns one dimension."""
    return _panels(_pad(weight, layout, 4), layout, 4)


def pack_int4(weight: NDArray[np.int8], layout: Layout) -> NDArray[np.uint8]:
    """Pack 4-bit weights, integers from -8 to 7 of shape (N, segments, run); returns one dimension of bytes.

    Raises:
        NetworkError: a weight that needs more than 4 bits.
    """
    if weight.size and (weight.min() < -8 or weight.max() > 7):
        raise NetworkError(
            "these weights do not fit 4 bits",
            got=f"values from {weight.min()} to {weight.max()}",
            expected="integers from -8 to 7",
            hint="pack them with 8 bits",
        )
    padded = _pad(weight, layout, 8)
    n, segments, run = padded.shape
    quads = padded.reshape(n, segments, run // 8, 2, 4).view(np.uint8)
    both = np.bitwise_or(quads[:, :, :, 0] & np.uint8(15), quads[:, :, :, 1] << np.uint8(4)).astype(np.uint8)
    return _panels(both.reshape(n, segments, run // 2), layout, 4)


def pack_float(weight: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """Pack float weights of shape (N, segments, run); returns one dimension."""
    return _panels(_pad(weight, layout, 1), layout, 1)


def pack_bias(bias: NDArray[np.int32], weight: NDArray[np.int8], layout: Layout) -> NDArray[np.int32]:
    """Biases of shape (N,) for the weights (N, segments, run) that they go with, padded with 0.

    Holds the correction of a signed layout. No sum can leave int32: the bias of a unit that is all but dead may be
    so large, in steps as small as its weights, that it is cut by what the weights can add.
    """
    sums = weight.astype(np.int64).reshape(len(weight), -1)
    room = INT32_MAX - HIGHEST_ACTIVATION * np.abs(sums).sum(1)
    if (room < 0).any():
        raise NetworkError(
            "a layer has too many inputs for 32-bit sums",
            got=f"{sums.shape[1]} inputs",
            expected="at most 65,000 or so",
            hint="export this network as ONNX, and run it with ONNX Runtime",
        )
    corrected = np.clip(bias.astype(np.int64) + (128 * sums.sum(1) if layout.signed else 0), -room, room)
    return pack_vector(corrected.astype(np.int32), layout)


def pack_vector(vector: NDArray[Kind], layout: Layout) -> NDArray[Kind]:
    """A value per column, shape (N,), padded with 0: multipliers, or the biases of a float layer."""
    return np.pad(vector, (0, layout.padded(len(vector)) - len(vector)))


def _pad(weight: NDArray[Kind], layout: Layout, step: int) -> NDArray[Kind]:
    """Zeros up to whole columns and to runs that are a multiple of ``step``."""
    n, _, run = weight.shape
    return np.ascontiguousarray(np.pad(weight, ((0, layout.padded(n) - n), (0, 0), (0, -run % step))))


def _panels(weight: NDArray[Kind], layout: Layout, quad: int) -> NDArray[Kind]:
    """(N, segments, run) as panels of (segments, run / quad, columns, quad), one after the other."""
    n, segments, run = weight.shape
    parts = [
        weight[first : first + layout.panel].reshape(-1, segments, run // quad, quad).transpose(1, 2, 0, 3).reshape(-1)
        for first in range(0, n, layout.panel)
    ]
    return np.concatenate(parts)
