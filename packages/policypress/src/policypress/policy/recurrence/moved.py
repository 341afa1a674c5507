"""Tensors of a traced network whose batch is not the first axis: sequences ``(time, batch, features)``, states.

Inside a policy the batch is always first. A :class:`Moved` is such a value together with the place where the network
has its batch; what only moves elements is done to the value, with the axes translated, and once the batch is first
again, the value stands for itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from policypress.policy.importers import tensor_shapes as ts
from policypress.policy.importers.assembly import BATCH, Assembly, Refused, Value

FIRST = "the batch must stay the first axis"


@dataclass(frozen=True, eq=False)
class Moved:
    """``value``, batch first, as the network has it: with the batch as axis ``axis``."""

    value: Value
    axis: int

    @property
    def dimensions(self) -> int:
        """Number of axes, the batch included."""
        return self.value.sample.dim()

    @property
    def sizes(self) -> list[int]:
        """Sizes as the network has them, ``BATCH`` for the batch."""
        sizes = list(self.value.shape)
        sizes.insert(self.axis, BATCH)
        return sizes

    def inner(self, axis: int) -> int:
        """The value's axis for the network's.

        Raises:
            Refused: it is the batch, or there is no such axis.
        """
        positive = axis + self.dimensions if axis < 0 else axis
        if not 0 <= positive < self.dimensions or positive == self.axis:
            where = "the batch" if positive == self.axis else f"axis {axis} of {self.dimensions}"
            raise Refused(f"it works along {where}; every observation must be treated alone")
        return positive + 1 if positive < self.axis else positive


def moved(value: Any) -> Moved:
    """A value as one whose batch may be anywhere.

    Raises:
        Refused: it does not depend on the observation.
    """
    if isinstance(value, Moved):
        return value
    if isinstance(value, Value):
        return Moved(value, 0)
    raise Refused("it needs a tensor that depends on the observation")


def settled(x: Moved) -> Value | Moved:
    """The value itself, where the batch is first."""
    return x.value if x.axis == 0 else x


def first(value: Any) -> Value:
    """A value whose batch is first.

    Raises:
        Refused: it is elsewhere.
    """
    x = moved(value)
    if x.axis != 0:
        raise Refused(FIRST)
    return x.value


def unsqueeze(a: Assembly, x: Moved, axis: int) -> Moved:
    """A new axis of length 1, wherever the batch is."""
    total = x.dimensions + 1
    place = axis + total if axis < 0 else axis
    if not 0 <= place < total:
        raise Refused(f"it adds axis {axis} to {x.dimensions}")
    if place <= x.axis:
        return Moved(ts.unsqueeze(a, x.value, place + 1), x.axis + 1)
    return Moved(ts.unsqueeze(a, x.value, place), x.axis)


def squeeze(a: Assembly, x: Moved, axes: Sequence[int] | None) -> Moved:
    """Without axes of length 1; of all where ``axes`` is None."""
    given = range(x.dimensions) if axes is None else axes
    places = sorted({axis % x.dimensions for axis in given}, reverse=True)
    for place in places:
        if place == x.axis or x.sizes[place] != 1:
            continue
        value = ts.squeeze(a, x.value, [x.inner(place)])
        x = Moved(value, x.axis - 1 if place < x.axis else x.axis)
    return x


def permute(a: Assembly, x: Moved, order: Sequence[int]) -> Moved:
    """``torch.permute``, the batch included."""
    places = [axis % x.dimensions for axis in order]
    inner = [x.inner(place) for place in places if place != x.axis]
    return Moved(ts.permute(a, x.value, [0, *inner]), places.index(x.axis))


def swap(a: Assembly, x: Moved, one: int, other: int) -> Moved:
    """``torch.transpose``."""
    order = list(range(x.dimensions))
    one, other = one % x.dimensions, other % x.dimensions
    order[one], order[other] = order[other], order[one]
    return permute(a, x, order)


def reshape(a: Assembly, x: Moved, target: Sequence[int]) -> Moved:
    """Row-major reshape that keeps the batch an axis of its own; where it may stand in several places, where it was.

    Raises:
        Refused: it does not stay an axis of its own.
    """
    before, after = math.prod(x.sizes[: x.axis]), math.prod(x.sizes[x.axis + 1 :])
    places = [place for place in range(len(target)) if _stays(target, place, before, after)]
    if not places:
        raise Refused(f"from {x.sizes} to {list(target)}: {FIRST}")
    told = [place for place in places if target[place] in (BATCH, -1)]
    place = next(iter(told or ([x.axis] if x.axis in places else places)))
    sizes = [*target[:place], *target[place + 1 :]]
    if -1 in sizes:
        sizes[sizes.index(-1)] = math.prod(x.value.shape) // max(math.prod(s for s in sizes if s != -1), 1)
    return Moved(ts.features(a, x.value, sizes), place)


def _stays(target: Sequence[int], place: int, before: int, after: int) -> bool:
    left, right = [int(v) for v in target[:place]], [int(v) for v in target[place + 1 :]]
    if BATCH in left or BATCH in right or (-1 in left and -1 in right):
        return False
    known = math.prod(v for v in left if v != -1), math.prod(v for v in right if v != -1)
    fits_left = known[0] == before if -1 not in left else before % max(known[0], 1) == 0
    fits_right = known[1] == after if -1 not in right else after % max(known[1], 1) == 0
    return fits_left and fits_right


def cut(a: Assembly, x: Moved, axis: int, start: int, stop: int, step: int = 1) -> Moved:
    """Elements ``start … stop − 1`` along ``axis``; all of the batch."""
    if axis % x.dimensions == x.axis and start == 0 and step == 1:
        # A file with a fixed batch ends a slice of the batch at its size: one row or more of what is treated alone.
        return x
    return Moved(ts.cut(a, x.value, x.inner(axis), start, stop, step), x.axis)


def select(a: Assembly, x: Moved, axis: int, index: int) -> Moved:
    """One element along ``axis``, which is gone."""
    place = axis % x.dimensions
    value = ts.select(a, x.value, x.inner(axis), index)
    return Moved(value, x.axis - 1 if place < x.axis else x.axis)


def concat(a: Assembly, parts: Sequence[Any], axis: int) -> Moved:
    """Values of one layout side by side.

    Raises:
        Refused: they have their batch in different places, or one is a constant.
    """
    values = [moved(part) for part in parts]
    if len({(x.axis, x.dimensions) for x in values}) != 1:
        raise Refused(FIRST)
    return Moved(ts.concat(a, [x.value for x in values], values[0].inner(axis)), values[0].axis)


def stack(a: Assembly, parts: Sequence[Any], axis: int) -> Moved:
    """Values of one layout along a new ``axis``."""
    whole = moved(parts[0]).dimensions + 1
    place = axis % whole
    return concat(a, [unsqueeze(a, moved(part), place) for part in parts], place)


def elementwise(x: Moved, function: Callable[[Value], Any]) -> Moved:
    """What is done to each number alone."""
    return Moved(function(x.value), x.axis)
