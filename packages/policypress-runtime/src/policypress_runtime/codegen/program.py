"""The typed program between ONNX and C: what is done, in which order, on which arrays.

Arrays are those of one observation. Images lie channel-last, whatever ONNX says; a value's index says which
logical element lies where. An operation reads and writes parts of arrays (:class:`Span`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from policypress_runtime.codegen.expression import Array, Expression, Storage, constants, leaves
from policypress_runtime.contract import Contract, Space, StateSpec, TensorSpec


@dataclass(frozen=True, eq=False)
class Span:
    """Elements of ``storage`` from ``offset`` on."""

    storage: Storage
    offset: int = 0


@dataclass(frozen=True, eq=False)
class Map:
    """out[i] = expression of element i, for ``size`` elements; loads of the tree have flat indices."""

    out: Span
    size: int
    expression: Expression


@dataclass(frozen=True, eq=False)
class Quantize:
    """out = round(clamp(x / scale, low, high)) + zero; ``watched`` where x is the observation, as normalised."""

    x: Span
    out: Span
    size: int
    scale: float
    low: int
    high: int
    zero: int
    watched: bool


@dataclass(frozen=True, eq=False)
class QuantizeDynamically:
    """ONNX's DynamicQuantizeLinear: the scale is that of this observation's smallest and largest value."""

    x: Span
    out: Span
    scale: Span
    zero: Span
    size: int


@dataclass(frozen=True, eq=False)
class Lookup:
    """out[i] = table[x[i]] for 8-bit integers: everything up to the first quantizer of an image.

    ``accepted`` is the range of x that is not clipped on the way; beyond it the observation is saturated.
    """

    x: Span
    out: Span
    size: int
    table: tuple[int, ...]
    accepted: tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """Where the kernels find a row's input; see the kernels' own words. Strides are in elements.

    A dense layer on a vector has one line of one row with one segment. A convolution has a line per row of
    output pixels, a row per output pixel, and a segment per row of its kernel.
    """

    run: int
    segments: int = 1
    segment_stride: int = 0
    rows: int = 1
    row_stride: int = 0
    lines: int = 1
    line_stride: int = 0


@dataclass(frozen=True, eq=False)
class Dense:
    """A dense layer or convolution; ``weight`` is ``(outputs, segments, run)``.

    Integer weights (int8) read unsigned bytes: the sums are int32, times ``multiplier`` (one per output); with
    ``limits`` (low, high, zero) the result is rounded to bytes, else it is float. Float weights have no multiplier.
    """

    x: Span
    out: Span
    weight: Array
    bias: Array
    geometry: Geometry
    multiplier: Array | None = None
    limits: tuple[int, int, int] | None = None

    @property
    def outputs(self) -> int:
        """Number of output channels."""
        return int(self.weight.shape[0])

    @property
    def bits(self) -> Literal[4, 8, 32]:
        """Width of a weight as it is stored."""
        if self.multiplier is None:
            return 32
        return 4 if self.weight.min(initial=0) >= -8 and self.weight.max(initial=0) <= 7 else 8


@dataclass(frozen=True, eq=False)
class Copy:
    """Nested loops ``(count, source stride, target stride)``, the outermost first, that move elements as they are."""

    x: Span
    out: Span
    loops: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, eq=False)
class Gather:
    """out[i] = x[index[i]], where no nested loops say it."""

    x: Span
    out: Span
    index: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Fill:
    """``size`` elements of one value: the border of a padded image."""

    out: Span
    size: int
    value: int


@dataclass(frozen=True)
class Window:
    """A pooling window over an image ``(height, width, channels)``, and the size of what comes out."""

    image: tuple[int, int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    output: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Pool:
    """``max`` or ``average`` over windows; padding is not counted, unless ``counts_padding``."""

    kind: Literal["max", "average"]
    x: Span
    out: Span
    window: Window
    counts_padding: bool = False


@dataclass(frozen=True, eq=False)
class Reduce:
    """``sum``, ``mean``, ``max`` or ``min`` of each of ``size`` groups of ``count`` elements that follow each other."""

    kind: Literal["sum", "mean", "max", "min"]
    x: Span
    out: Span
    size: int
    count: int


@dataclass(frozen=True, eq=False)
class LayerNorm:
    """(x − mean) / sqrt(variance + epsilon) · weight + bias over each of ``groups`` groups of ``size`` elements."""

    x: Span
    out: Span
    groups: int
    size: int
    epsilon: float
    weight: Array
    bias: Array


@dataclass(frozen=True, eq=False)
class Softmax:
    """Softmax over each of ``groups`` groups of ``size`` elements."""

    x: Span
    out: Span
    groups: int
    size: int


@dataclass(frozen=True, eq=False)
class ArgMax:
    """Index of the largest of each of ``groups`` groups of ``size`` elements; ties go to the first, or the last."""

    x: Span
    out: Span
    groups: int
    size: int
    last: bool = False


Step = (
    Map
    | Quantize
    | QuantizeDynamically
    | Lookup
    | Dense
    | Copy
    | Gather
    | Fill
    | Pool
    | Reduce
    | LayerNorm
    | Softmax
    | ArgMax
)


@dataclass(frozen=True)
class Input:
    """One argument of the policy: its name and dtype in ONNX, and the array that the program reads."""

    spec: TensorSpec
    storage: Storage


@dataclass(frozen=True)
class Carried:
    """One tensor of the policy's memory, which the caller keeps: copied before the first step, written by the last."""

    spec: StateSpec
    storage: Storage


@dataclass(frozen=True)
class Program:
    """A whole policy.

    ``scores`` is None where the action is not chosen among scores. ``action_space`` is None for a file from
    elsewhere that carries no contract. ``states`` are what it carries from one step to the next; as a rule none.
    """

    inputs: tuple[Input, ...]
    steps: tuple[Step, ...]
    action: Storage
    scores: Storage | None
    contract: Contract | None = None
    action_space: Space | None = None
    notes: tuple[str, ...] = field(default=())
    states: tuple[Carried, ...] = ()


def reads(step: Step) -> Iterator[Storage]:
    """Arrays that a step reads."""
    if isinstance(step, Map):
        yield from (load.storage for load in leaves(step.expression))
    elif not isinstance(step, Fill):
        yield step.x.storage


def writes(step: Step) -> Iterator[Storage]:
    """Arrays that a step writes."""
    yield step.out.storage
    if isinstance(step, QuantizeDynamically):
        yield step.scale.storage
        yield step.zero.storage


def constant_bytes(step: Step) -> int:
    """Bytes of weights and tables that a step needs, without padding."""
    match step:
        case Map():
            return sum(4 * c.values.size for c in constants(step.expression) if c.values.size > 1)
        case Dense(multiplier=None):
            return 4 * (step.weight.size + step.bias.size)
        case Dense():
            return step.weight.size * step.bits // 8 + 8 * step.outputs
        case Lookup():
            return 256
        case Gather():
            return 4 * len(step.index)
        case LayerNorm():
            return 4 * (step.weight.size + step.bias.size)
        case _:
            return 0
