"""The memory of an ONNX file: which of its inputs are carried, of which shape, and where each has its batch."""

from __future__ import annotations

import onnx

from policypress.agents.onnx_reading.interface import Interface, described, shape_of
from policypress.policy.recurrence.module_memory import ModuleMemory
from policypress_runtime.contract import Contract, StateSpec
from policypress_runtime.errors import NetworkError


def memory_of_file(model: onnx.ModelProto, ends: Interface, contract: Contract | None) -> ModuleMemory:
    """The states of ``model``, under the names that they have in it.

    An artifact of ours has the batch first. Elsewhere it is the axis that has the observation's name for it; where
    sizes are fixed, the second of three (``[layers, batch, H]``), and the first otherwise.

    Args:
        model: with its inputs and outputs.
        ends: what they are.
        contract: of an artifact of ours.

    Raises:
        NetworkError: a state whose sizes are free besides the batch.
    """
    if contract is not None:
        return ModuleMemory(contract.state, (0,) * len(contract.state))
    inputs = {value.name: value for value in model.graph.input}
    symbols = {_symbols(inputs[name])[0] for name in ends.inputs if _symbols(inputs[name])} - {""}
    specs, axes = [], []
    for name, following in ends.states:
        value = inputs[name]
        sizes = shape_of(value)
        axis = _batch_axis(value, symbols)
        rest = None if sizes is None else [size for place, size in enumerate(sizes) if place != axis]
        if not rest or None in rest or value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
            raise NetworkError(
                "A state of the ONNX file has no fixed size.",
                got=described(value),
                expected="float32 numbers of a fixed shape beside the batch, e.g. [1, batch, 64]",
                hint="Export with a state of the shape that it has.",
            )
        specs.append(StateSpec(name, following, tuple(size for size in rest if size is not None)))
        axes.append(axis)
    return ModuleMemory(tuple(specs), tuple(axes))


def _symbols(value: onnx.ValueInfoProto) -> list[str]:
    return [dim.dim_param for dim in value.type.tensor_type.shape.dim]


def _batch_axis(value: onnx.ValueInfoProto, symbols: set[str]) -> int:
    named = _symbols(value)
    shared = [place for place, name in enumerate(named) if name in symbols]
    free = [place for place, size in enumerate(shape_of(value) or ()) if size is None]
    if shared or len(free) == 1:
        return (shared or free)[0]
    return 1 if len(named) == 3 else 0
