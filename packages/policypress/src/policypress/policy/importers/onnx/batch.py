"""A batch axis for an ONNX graph that takes one observation: ``[n]`` or ``[channels, height, width]``.

Every value that depends on the observation gets the batch as its first axis; where the graph itself puts an axis of
length 1 in front, that axis is the batch. The translation is compared with the file as it is, row by row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from policypress.policy.importers.assembly import Refused
from policypress.policy.importers.onnx.reference import LARGEST_CONSTANT, compute
from policypress_runtime.onnx_files.node import STANDARD_DOMAINS, attributes_of, opset_of

_BY_ELEMENT = {
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Min",
    "Max",
    "Pow",
    "Sum",
    "PRelu",
    "Greater",
    "Less",
    "Equal",
    "Where",
    "Clip",
}
_BY_ELEMENT |= {
    "Relu",
    "Tanh",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Mish",
    "HardSwish",
    "HardSigmoid",
    "Exp",
    "Log",
    "Sin",
}
_BY_ELEMENT |= {
    "Cos",
    "Abs",
    "Sqrt",
    "Reciprocal",
    "Erf",
    "Elu",
    "Celu",
    "Selu",
    "LeakyRelu",
    "Neg",
    "Identity",
    "Cast",
}
_BY_ELEMENT |= {"Dropout", "Gelu", "Round", "Not"}
# The attribute that holds an axis, and its default; None where it must be told.
_ONE_AXIS: dict[str, int | None] = {
    "Softmax": -1,
    "LogSoftmax": -1,
    "ArgMax": 0,
    "Concat": None,
    "Gather": 0,
    "Split": 0,
    "LayerNormalization": -1,
}
_REDUCTIONS = {"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceLogSumExp", "ReduceSumSquare"}


def with_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model``, whose inputs are all of one observation, for a batch of observations.

    Raises:
        Refused: an operator for which it is not known how it does the same row by row, or shapes that are not fixed.
    """
    return _Rewriting(model).run()


class _Rewriting:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self.graph = self.model.graph
        self.values = _values(model)
        # Without a batch axis yet, and with one that the graph made itself.
        self.bare = {value.name for value in self.graph.input}
        self.full: set[str] = set()
        self.added = 0

    def run(self) -> onnx.ModelProto:
        """Rewrite node by node, in place."""
        for node in self.graph.node:
            if self.bare.intersection(node.input):
                self._bare(node)
            elif self.full.intersection(node.input):
                self._full(node)
        for value in self.graph.input:
            _set_shape(value, ["batch", *self._shape(value.name)])
        for value in self.graph.output:
            shape = self._shape(value.name)
            _set_shape(value, ["batch", *(shape if value.name in self.bare else shape[1:])])
        del self.graph.value_info[:]
        return self.model

    def _bare(self, node: onnx.NodeProto) -> None:
        kind, x = node.op_type, node.input[0]
        if kind == "Shape" and not node.attribute:
            _become(node, "Constant", [])
            _set(node, "value", numpy_helper.from_array(np.array(self._shape(x), np.int64)))
            return
        known: dict[str, Callable[[onnx.NodeProto, str], bool]] = {
            "Unsqueeze": self._unsqueeze,
            "Squeeze": self._squeeze,
            "Reshape": self._reshape,
            "Flatten": self._flatten,
            "Transpose": self._transpose,
            "Slice": self._slice,
            "MatMul": self._product,
        }
        if kind in _BY_ELEMENT:
            full = self._by_element(node)
        elif kind in known and x in self.bare:
            full = known[kind](node, x)
        elif kind in _ONE_AXIS and self.bare.issuperset(node.input[: None if kind == "Concat" else 1]):
            full = self._one_axis(node, x)
        elif kind in _REDUCTIONS:
            self._set_axes(
                node, [axis + 1 for axis in self._axes(node, len(self._shape(x))) or range(len(self._shape(x)))]
            )
            full = False
        else:
            raise _unknown(node)
        (self.full if full else self.bare).update(node.output)

    def _full(self, node: onnx.NodeProto) -> None:
        """What takes the axis away again that the graph put in front; all else stays as it is."""
        x, kind = node.input[0], node.op_type
        shape = self._shape(x) if x else []
        if kind == "Squeeze" and x in self.full:
            axes = self._axes(node, len(shape)) or [axis for axis, size in enumerate(shape) if size == 1]
            self._squeezed(node, [axis for axis in axes if axis != 0])
            (self.bare if 0 in axes else self.full).update(node.output)
        elif kind == "Reshape" and x in self.full:
            target = self._shape(node.output[0])
            batched = len(target) > 1 and target[0] == 1
            self._constant(node, 1, [0, *(target[1:] if batched else target)])
            (self.full if batched else self.bare).update(node.output)
        elif kind == "Gather" and self._index(node) == 0 and attributes_of(node).get("axis", 0) == 0:
            _become(node, "Identity", [x])
            self.bare.update(node.output)
        else:
            self.full.update(node.output)

    def _by_element(self, node: onnx.NodeProto) -> bool:
        rank = len(self._shape(node.output[0]))
        operands = [name for name in node.input if name]
        if node.op_type == "Clip":
            operands = operands[:1]
        ranks = {len(self._shape(name)) for name in operands if name in self.bare}
        outer = [name for name in operands if name not in self.bare and len(self._shape(name)) >= rank]
        if ranks == {rank} and not self.full.intersection(operands):
            return False
        # [n] with a constant of [1, n], or with what has the axis already, is of [1, n].
        if ranks == {rank - 1} and all(self._shape(name)[0] == 1 for name in outer):
            return True
        raise _unknown(node)

    def _product(self, node: onnx.NodeProto, x: str) -> bool:
        if node.input[1] in self.bare | self.full or len(self._shape(node.input[1])) != 2:
            raise _unknown(node)
        return False

    def _unsqueeze(self, node: onnx.NodeProto, x: str) -> bool:
        axes = self._axes(node, len(self._shape(node.output[0])))
        if axes == [0]:
            _become(node, "Identity", [x])
        elif axes:
            self._set_axes(node, [axis for axis in axes if axis] if 0 in axes else [axis + 1 for axis in axes])
        return 0 in axes

    def _squeeze(self, node: onnx.NodeProto, x: str) -> bool:
        shape = self._shape(x)
        axes = self._axes(node, len(shape)) or [axis for axis, size in enumerate(shape) if size == 1]
        self._squeezed(node, [axis + 1 for axis in axes])
        return False

    def _squeezed(self, node: onnx.NodeProto, axes: list[int]) -> None:
        if axes:
            self._set_axes(node, axes)
        else:
            _become(node, "Identity", [node.input[0]])

    def _reshape(self, node: onnx.NodeProto, x: str) -> bool:
        target = self._shape(node.output[0])
        full = len(target) > 1 and target[0] == 1
        self._constant(node, 1, [0, *(target[1:] if full else target)])
        return full

    def _flatten(self, node: onnx.NodeProto, x: str) -> bool:
        target = self._shape(node.output[0])
        _become(node, "Reshape", [x])
        self._constant(node, 1, [0, *(target[1:] if target[0] == 1 else target)])
        return target[0] == 1

    def _transpose(self, node: onnx.NodeProto, x: str) -> bool:
        order = attributes_of(node).get("perm") or list(range(len(self._shape(x))))[::-1]
        _set(node, "perm", [0, *(axis + 1 for axis in order)])
        return False

    def _slice(self, node: onnx.NodeProto, x: str) -> bool:
        starts = self._numbers(node.input[1] if len(node.input) > 1 else "")
        if starts is None:
            raise _unknown(node)
        axes = self._numbers(node.input[3]) if len(node.input) > 3 and node.input[3] else list(range(len(starts)))
        if axes is None:
            raise _unknown(node)
        self._constant(node, 3, [axis % len(self._shape(x)) + 1 for axis in axes])
        return False

    def _one_axis(self, node: onnx.NodeProto, x: str) -> bool:
        axis = attributes_of(node).get("axis", _ONE_AXIS[node.op_type])
        if axis is None:
            raise _unknown(node)
        _set(node, "axis", int(axis) % len(self._shape(x)) + 1)
        return False

    def _index(self, node: onnx.NodeProto) -> int | None:
        numbers = self._numbers(node.input[1]) if len(node.input) > 1 else None
        return None if numbers is None or len(numbers) != 1 or self._shape(node.input[1]) else numbers[0]

    def _axes(self, node: onnx.NodeProto, rank: int) -> list[int]:
        """The axes of a node, counted from the front; empty where it names none."""
        axes = attributes_of(node).get("axes")
        if axes is None and len(node.input) > 1 and node.input[1]:
            axes = self._numbers(node.input[1])
            if axes is None:
                raise _unknown(node)
        return [int(axis) % rank for axis in axes or ()]

    def _set_axes(self, node: onnx.NodeProto, axes: list[int]) -> None:
        if (
            len(node.input) > 1
            or (opset_of(self.model) >= 13 and node.op_type in ("Squeeze", "ReduceSum"))
            or opset_of(self.model) >= 18
        ):
            self._constant(node, 1, axes)
        else:
            _set(node, "axes", axes)

    def _numbers(self, name: str) -> list[int] | None:
        known = None if name in self.bare | self.full else self.values.get(name)
        return None if known is None else [int(v) for v in known.reshape(-1)]

    def _constant(self, node: onnx.NodeProto, index: int, values: Sequence[int]) -> None:
        """Let ``node`` read these integers as its operand at ``index``."""
        self.added += 1
        name = f"policypress.batch.{self.added}"
        array: npt.NDArray[np.int64] = np.array(values, np.int64)
        self.graph.initializer.append(numpy_helper.from_array(array, name))
        while len(node.input) <= index:
            node.input.append("")
        node.input[index] = name

    def _shape(self, name: str) -> list[int]:
        if name not in self.values:
            raise Refused(f"the shape of {name[:60]!r} is not known")
        return list(self.values[name].shape)


def _values(model: onnx.ModelProto) -> dict[str, npt.NDArray[Any]]:
    """Every value of the graph where the observation is zero: nothing else tells all shapes of every opset."""
    values: dict[str, npt.NDArray[Any]] = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for value in model.graph.input:
        sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if math.prod(sizes) > LARGEST_CONSTANT:
            raise Refused(f"an input of shape {sizes[:8]}")
        values[value.name] = np.zeros(sizes, helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
    opset, numbers = opset_of(model), 0
    for node in model.graph.node:
        if node.domain not in STANDARD_DOMAINS:
            raise _unknown(node)
        try:
            results = compute(node, {name: values[name] for name in node.input if name}, opset)
        except Refused as refusal:
            raise Refused(f"{node.op_type} at node {(node.name or node.output[0])[:60]!r}: {refusal}") from refusal
        values.update(zip((name for name in node.output if name), results, strict=False))
        numbers += sum(result.size for result in results)
        if numbers > LARGEST_CONSTANT:
            raise Refused(f"values of more than {LARGEST_CONSTANT} numbers")
    return values


def _unknown(node: onnx.NodeProto) -> Refused:
    return Refused(f"{node.op_type} at node {(node.name or node.output[0])[:60]!r}")


def _become(node: onnx.NodeProto, kind: str, inputs: list[str]) -> None:
    node.op_type = kind
    del node.input[:], node.attribute[:]
    node.input.extend(inputs)


def _set(node: onnx.NodeProto, name: str, value: Any) -> None:
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def _set_shape(value: onnx.ValueInfoProto, sizes: Sequence[int | str]) -> None:
    kind = value.type.tensor_type.elem_type
    value.type.CopyFrom(helper.make_tensor_type_proto(kind, list(sizes)))
