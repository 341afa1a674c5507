"""Puts a program together: values that are computed as late as possible, so that steps can be joined.

Element-wise operations are kept as trees until something needs them in memory. A dense layer waits for what
follows it: where that is a quantizer, behind limits at most, one kernel does both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from policypress_runtime.codegen.expression import (
    Apply,
    Array,
    Constant,
    Expression,
    Kind,
    Load,
    Space,
    Storage,
    constants,
    leaves,
    replaced,
)
from policypress_runtime.codegen.layout import contiguous, inverse, nested_loops, order_of, period_of
from policypress_runtime.codegen.program import Copy, Dense, Gather, Map, Span, Step
from policypress_runtime.codegen.text_in_c import identifier

# ``h_in``, ``c_in_2``: names of states that stay as they are.
_MEMBER = re.compile(r"[a-z][a-z0-9]*_in(_[0-9]+)?")


@dataclass(frozen=True, eq=False)
class Codes:
    """Integers that stand for numbers: real = (stored − zero) · scale, stored as unsigned bytes."""

    scale: float
    zero: int


@dataclass(frozen=True, eq=False)
class Value:
    """What an ONNX name stands for: an expression with the logical shape, batch axis left out.

    ``codes`` is set where the numbers are dequantized bytes, so that integer kernels can read these instead.
    ``raw`` says that nothing but limits, arithmetic and views lie between this and the observation.
    """

    shape: tuple[int, ...]
    expression: Expression
    codes: Codes | None = None
    raw: bool = False

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def real(self) -> bool:
        """Whether it is float."""
        return self.expression.real


def dequantized(load: Load, codes: Codes, shape: tuple[int, ...], raw: bool = False) -> Value:
    """The numbers that the bytes of ``load`` stand for."""
    shifted: Expression = Apply("float", (load,))
    if codes.zero:
        shifted = Apply("sub", (shifted, Constant(np.asarray(codes.zero, np.float32))))
    scale = Constant(np.asarray(codes.scale, np.float32))
    return Value(shape, Apply("mul", (shifted, scale)), codes, raw)


def bytes_of(value: Value) -> Load:
    """The bytes behind a dequantized value."""
    return next(leaves(value.expression))


class Builder:
    """Collects the steps of a program."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._waiting: dict[Storage, Dense] = {}
        self._names: set[str] = set()

    def storage(self, hint: str, kind: Kind, size: int, space: Space = "scratch") -> Storage:
        """A new array.

        Those that the caller gives are arguments of C functions: their names are identifiers that no local variable
        has, ``action``, ``observation`` and ``observation_…``. Those of the state are members of a struct: no keyword
        and no macro is called so.
        """
        if space == "action":
            return Storage(space, kind, size, space)
        stem = identifier(hint)
        if space == "input" and not stem.startswith("observation"):
            stem = f"observation_{stem}"
        if space == "state" and not _MEMBER.fullmatch(stem):
            stem = f"state_{stem}"
        name, count = stem, 1
        # Macros say the same names in capitals.
        while name.lower() in self._names:
            count += 1
            name = f"{stem}_{count}"
        self._names.add(name.lower())
        return Storage(name, kind, size, space)

    def emit(self, step: Step) -> None:
        """Append a step."""
        self.steps.append(step)

    def defer(self, dense: Dense) -> None:
        """A dense layer whose result is not needed yet; it fills the whole of its output."""
        self._waiting[dense.out.storage] = dense

    def waiting(self, storage: Storage) -> Dense | None:
        """The dense layer that is to fill ``storage``, if it has not been emitted."""
        return self._waiting.get(storage)

    def take(self, storage: Storage) -> Dense:
        """The waiting layer, which the caller emits in another form."""
        return self._waiting.pop(storage)

    def fill(self, expression: Expression) -> None:
        """Emit the layers that ``expression`` waits for."""
        for load in leaves(expression):
            if load.storage in self._waiting:
                self.emit(self._waiting.pop(load.storage))

    def settled(self, value: Value) -> Value:
        """``value`` in memory, for several readers; what stands for bytes stays as it is."""
        if value.codes is not None or isinstance(value.expression, Constant):
            return value
        return replace(value, expression=self.stored(value))

    def stored(self, value: Value, hint: str = "value") -> Load:
        """``value`` in memory, in whatever order is cheapest."""
        expression = value.expression
        self.fill(expression)
        if isinstance(expression, Load):
            return expression
        order = self._cheapest_order(expression, value)
        span = self._mapped(expression, value, order, hint, None)
        return Load(span.storage, inverse(order).reshape(value.shape))

    def packed(self, value: Value, hint: str = "value") -> tuple[Span, Array]:
        """``value`` in one stretch of memory, and which logical element lies at each place."""
        load = self.stored(value, hint)
        found = order_of(load.index)
        if found is not None:
            return Span(load.storage, found[0]), found[1]
        return self.arranged(replace(value, expression=load), hint=hint), np.arange(value.size)

    def arranged(
        self, value: Value, order: Array | None = None, target: Span | None = None, hint: str = "value"
    ) -> Span:
        """``value`` in one stretch of memory with logical element ``order[i]`` at place ``i``.

        Without an order it is the logical one; without a target, memory is new or that which has it already.
        """
        expression = value.expression
        order = np.arange(value.size) if order is None else order
        if isinstance(expression, Load):
            waiting = self._waiting.get(expression.storage)
            places = expression.index.reshape(-1)[order]
            whole = waiting is not None and contiguous(places) == 0 and places.size == waiting.out.storage.size
            if waiting is not None and target is not None and whole:
                self.emit(replace(self._waiting.pop(expression.storage), out=target))
                return target
            self.fill(expression)
            return self._copied(expression.storage, places, target, hint)
        self.fill(expression)
        return self._mapped(expression, value, order, hint, target)

    def _copied(self, source: Storage, places: Array, target: Span | None, hint: str) -> Span:
        start = contiguous(places)
        if start is not None and target is None:
            return Span(source, start)
        target = target or Span(self.storage(hint, source.kind, places.size))
        if target.storage.kind != source.kind:
            moved = Load(source, places)
            self.emit(Map(target, places.size, self._readable(moved, places.size)))
            return target
        loops = nested_loops(places)
        if loops is None:
            self.emit(Gather(Span(source), target, tuple(int(i) for i in places)))
            return target
        strides: list[tuple[int, int, int]] = []
        step = 1
        for count, stride in reversed(loops[1]):
            strides.append((count, stride, step))
            step *= count
        self.emit(Copy(Span(source, loops[0]), target, tuple(reversed(strides)) or ((1, 1, 1),)))
        return target

    def _cheapest_order(self, expression: Expression, value: Value) -> Array:
        """The order in which the largest operand lies, where it fills one stretch of memory."""
        for load in leaves(expression):
            if load.index.size == value.size:
                found = order_of(np.broadcast_to(load.index, value.shape))
                if found is not None:
                    return found[1]
        return np.arange(value.size)

    def _mapped(self, expression: Expression, value: Value, order: Array, hint: str, target: Span | None) -> Span:
        def flat(leaf: Load | Constant) -> Expression:
            if isinstance(leaf, Constant):
                return Constant(_shortest(np.broadcast_to(leaf.values, value.shape).reshape(-1)[order]))
            return self._readable(
                Load(leaf.storage, np.broadcast_to(leaf.index, value.shape).reshape(-1)[order]), value.size
            )

        tree = replaced(expression, flat)
        kind: Kind = "float32" if expression.real else "int32"
        target = target or Span(self.storage(hint, kind, value.size))
        self.emit(Map(target, value.size, _of_one_period(tree, value.size)))
        return target

    def _readable(self, load: Load, size: int) -> Load:
        """A load that one loop can make: a stretch of memory, or one element for all."""
        index = load.index.reshape(-1)
        if bool((index == index[0]).all()):
            return Load(load.storage, index[:1])
        if contiguous(index) is not None:
            return Load(load.storage, index)
        span = self._copied(load.storage, index, None, load.storage.name)
        return Load(span.storage, np.arange(span.offset, span.offset + size))


def _shortest(values: Array) -> Array:
    return values[: period_of(values)]


def _of_one_period(tree: Expression, size: int) -> Expression:
    """Constants that repeat do so alike, so that two nested loops run over all of them."""
    periods = {c.values.size for c in constants(tree)} - {1}
    longest = max(periods, default=1)
    common = longest if all(longest % period == 0 for period in periods) else size

    def stretched(leaf: Load | Constant) -> Expression:
        if isinstance(leaf, Load) or leaf.values.size == 1:
            return leaf
        return Constant(np.tile(leaf.values, common // leaf.values.size))

    return replaced(tree, stretched) if len(periods) > 1 else tree
