"""From an ONNX model to a :class:`~policypress_runtime.codegen.program.Program`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnx.inliner
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from policypress_runtime.codegen.expression import Array, Kind, Load, Storage
from policypress_runtime.codegen.program import Carried, Copy, Input, Program, Span
from policypress_runtime.codegen.reading import dense as read_dense
from policypress_runtime.codegen.reading import elementwise as read_elementwise
from policypress_runtime.codegen.reading import quantization as read_quantization
from policypress_runtime.codegen.reading import reductions as read_reductions
from policypress_runtime.codegen.reading import shapes as read_shapes
from policypress_runtime.codegen.reading.builder import Builder, Value
from policypress_runtime.codegen.reading.operators import OPERATORS, Node, Operand, QuantizedConstant, unsupported
from policypress_runtime.contract import Contract, Space, StateSpec, TensorSpec, stated
from policypress_runtime.errors import ArtifactError, NetworkError, PolicypressError
from policypress_runtime.onnx_files.node import attributes_of, opset_of
from policypress_runtime.onnx_files.size import check_size
from policypress_runtime.reading_limits import limited

FAMILIES = (read_elementwise, read_shapes, read_dense, read_quantization, read_reductions)
ACTION, SCORES = "action", "scores"
# Constants computed from constants; none of these touches the observation.
FOLDED_AWAY = {"Constant", "ConstantOfShape"}
STORED_AS: dict[str, Kind] = {
    "float32": "float32",
    "uint8": "uint8",
    "int8": "int8",
    "int32": "int32",
    "int64": "int32",
}


def read_program(model: onnx.ModelProto | bytes) -> Program:
    """The program of an artifact, or of any ONNX file with the same operators.

    Raises:
        NetworkError: an operator, or a form of it, that C code cannot be written for; names it and its node.
        ArtifactError: the bytes are not ONNX, or the inputs and outputs are not those of a policy.
    """
    if isinstance(model, bytes):
        try:
            model = onnx.load_model_from_string(model)
        except Exception as error:  # protobuf raises its own untyped hierarchy
            raise ArtifactError("The file is not ONNX.", got=type(error).__name__, expected="an ONNX model") from error
    try:
        with limited("The ONNX file", error=ArtifactError, file_bytes=model.ByteSize()):
            check_size(model, "The ONNX file")
            return _Reader(onnx.inliner.inline_local_functions(model)).program()
    except PolicypressError:
        raise
    # Types that are none, values that do not fill their shape, names that are not there: protobuf takes them all.
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise ArtifactError(
            "The ONNX file is damaged.",
            got=f"{type(error).__name__}: {error}"[:300],
            expected="a file that onnx.checker accepts",
        ) from error


def contract_in(model: onnx.ModelProto) -> Contract | None:
    """The contract in a model's metadata; None in a file from elsewhere.

    Raises:
        ArtifactError: there is one, and it cannot be read.
    """
    text = stated((entry.key, entry.value) for entry in model.metadata_props)
    return None if text is None else Contract.from_text(text)


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    dtype = str(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    sizes = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in tensor.shape.dim]
    if not sizes or any(n <= 0 for n in sizes[1:]) or (dtype not in STORED_AS and dtype != "bool"):
        raise ArtifactError(
            "An input or output of the ONNX file is not that of a policy.",
            got=f"{value.name}: {dtype}, shape {sizes or 'none'}",
            expected="a batch axis first, all other axes of known size, and " + ", ".join(STORED_AS),
        )
    return TensorSpec(value.name, dtype, tuple(sizes[1:]))


class _Reader:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.builder = Builder()
        self.values: dict[str, Operand] = {}
        self.opset = opset_of(model)
        self.contract = contract_in(model)
        self.notes: list[str] = []

    def program(self) -> Program:
        graph = self.model.graph
        for tensor in graph.initializer:
            self.values[tensor.name] = _array(tensor)
        kept = {spec.name: spec for spec in self.contract.state} if self.contract else {}
        given = [value for value in graph.input if value.name not in self.values]
        inputs = [self._input(value) for value in given if value.name not in kept]
        states = [self._state(value, kept[value.name]) for value in given if value.name in kept]
        outputs = {value.name: _spec(value) for value in graph.output}
        action = ACTION if ACTION in outputs else next(iter(outputs), "")
        wanted = [action, SCORES] if SCORES in outputs and action != SCORES else [action]
        scored = len(wanted) > 1
        if self.contract is None:
            _refuse_memory(inputs, [spec for name, spec in outputs.items() if name not in wanted])
        wanted += [state.spec.next_name for state in states]
        nodes = _needed(graph, wanted)
        readers = Counter(name for node in nodes for name in node.input) + Counter(wanted)
        for node in nodes:
            self._read(node, readers)
        scores = self._scores() if scored else None
        result = self._action(action, outputs[action])
        self._carry(states)
        space: Space | None = None if self.contract is None else self.contract.action_space
        steps, notes = tuple(self.builder.steps), tuple(self.notes)
        return Program(tuple(inputs), steps, result, scores, self.contract, space, notes, tuple(states))

    def _input(self, value: onnx.ValueInfoProto) -> Input:
        spec = _spec(value)
        size = int(np.prod(spec.shape, dtype=np.int64))
        storage = self.builder.storage(spec.name, STORED_AS[spec.dtype], size, "input")
        self.values[spec.name] = Value(spec.shape, Load(storage, np.arange(size).reshape(spec.shape)), raw=True)
        return Input(spec, storage)

    def _state(self, value: onnx.ValueInfoProto, kept: StateSpec) -> Carried:
        """A state of the contract, copied to where steps read: the caller's own is written over by the last steps."""
        spec = _spec(value)
        size = int(np.prod(spec.shape, dtype=np.int64))
        if spec.dtype != "float32" or spec.shape != kept.shape or not size:
            raise ArtifactError(
                "A state of the ONNX file is not that of its contract.",
                got=f"{spec.name}: {spec.dtype}, shape {spec.shape}",
                expected=f"float32, shape {kept.shape}",
            )
        carried = self.builder.storage(spec.name, "float32", size, "state")
        read = self.builder.storage(f"{spec.name}_now", "float32", size)
        self.builder.emit(Copy(Span(carried), Span(read), ((size, 1, 1),)))
        self.values[spec.name] = Value(spec.shape, Load(read, np.arange(size).reshape(spec.shape)))
        return Carried(kept, carried)

    def _carry(self, states: list[Carried]) -> None:
        """Write the next states, when nothing reads the last ones any more."""
        spans = []
        for state in states:
            value = self._result(state.spec.next_name)
            if value.size != state.storage.size or not value.real:
                raise NetworkError(
                    "A state does not keep its form.",
                    got=f"{state.spec.next_name!r}: {value.size} numbers",
                    expected=f"{state.storage.size} floats, as {state.spec.name!r} has",
                )
            spans.append(self.builder.arranged(replace(value, codes=None), hint=state.spec.next_name))
        for state, span in zip(states, spans, strict=True):
            self.builder.emit(Copy(span, Span(state.storage), ((state.storage.size, 1, 1),)))

    def _read(self, proto: onnx.NodeProto, readers: Counter[str]) -> None:
        operands = tuple(self.values.get(name) if name else None for name in proto.input)
        missing = [n for n, v in zip(proto.input, operands, strict=True) if n and v is None]
        if missing:
            raise unsupported(proto.op_type, proto.name, f"its input {missing[0]!r} is not computed before it")
        name = proto.name or ", ".join(proto.output)
        node = Node(
            proto.op_type,
            name,
            attributes_of(proto),
            operands,
            tuple(proto.output),
            self.builder,
            self.opset,
            self.notes,
        )
        results: tuple[Any, ...]
        if proto.op_type != "DequantizeLinear" and not any(isinstance(v, Value) for v in operands):
            results = _folded(proto, node, self.opset)
        else:
            results = self._translated(node)
        for output, result in zip(proto.output, results, strict=False):
            if isinstance(result, Value) and readers[output] > 1:
                result = self.builder.settled(result)
            self.values[output] = result

    def _translated(self, node: Node) -> tuple[Any, ...]:
        translate = OPERATORS.get(node.kind)
        if translate is None:
            raise node.refuse("nothing in C does what it does")
        try:
            result = translate(node)
        except PolicypressError:
            raise
        except (ValueError, IndexError, TypeError, KeyError, ZeroDivisionError) as error:
            raise node.refuse(f"attributes or shapes that do not fit: {error}") from error
        return result if isinstance(result, tuple) else (result,)

    def _scores(self) -> Storage:
        value = self._result(SCORES)
        span = self.builder.arranged(value, hint=SCORES)
        if span.storage.space == "scratch" and span.offset == 0 and span.storage.size == value.size:
            return span.storage
        target = Span(self.builder.storage(SCORES, "float32", value.size))
        return self.builder.arranged(value, target=target).storage

    def _action(self, name: str, spec: TensorSpec) -> Storage:
        value = self._result(name)
        kind: Kind = "float32" if value.real else "int32"
        storage = self.builder.storage(ACTION, kind, value.size, "action")
        self.builder.arranged(value, target=Span(storage), hint=ACTION)
        return storage

    def _result(self, name: str) -> Value:
        value = self.values.get(name)
        if not isinstance(value, Value) or value.size == 0:
            raise NetworkError(
                "The action, or the next state, does not depend on the observation.",
                got=f"output {name!r}",
                expected="a policy",
            )
        return value


def _refuse_memory(inputs: list[Input], more: list[TensorSpec]) -> None:
    """Refuse a file without a contract that gives back what it takes: its memory would be lost without a word.

    Raises:
        NetworkError: names the input and the output.
    """
    for given in inputs[1:]:
        for after in more:
            if (given.spec.shape, given.spec.dtype) == (after.shape, after.dtype):
                raise NetworkError(
                    "The file seems to have a memory, and no contract that says so.",
                    got=f"the input {given.spec.name!r}, and the output {after.name!r} of the same shape",
                    expected="an artifact of policypress, whose contract names its states",
                    hint="Export it first: policypress export FILE.onnx -o artifact.onnx.",
                )


def _array(tensor: onnx.TensorProto) -> Array:
    """Values of an initializer; 4-bit integers in bytes."""
    values = np.asarray(numpy_helper.to_array(tensor))
    if tensor.data_type == TensorProto.INT4:
        return values.astype(np.int8)
    return values.astype(np.uint8) if tensor.data_type == TensorProto.UINT4 else values


def _needed(graph: onnx.GraphProto, outputs: list[str]) -> list[onnx.NodeProto]:
    """The nodes that ``outputs`` depend on, in the order of the file."""
    wanted = set(outputs)
    kept: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            wanted.update(name for name in node.input if name)
            kept.append(node)
    return kept[::-1]


def _folded(proto: onnx.NodeProto, node: Node, opset: int) -> tuple[Array, ...]:
    """A node whose operands are all constants, computed by ONNX's reference."""
    arrays = [v.real() if isinstance(v, QuantizedConstant) else v for v in node.operands]
    names = [f"operand_{i}" if v is not None else "" for i, v in enumerate(arrays)]
    copy = onnx.NodeProto()
    copy.CopyFrom(proto)
    del copy.input[:]
    copy.input.extend(names)
    feeds = {n: v for n, v in zip(names, arrays, strict=True) if isinstance(v, np.ndarray)}
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in feeds.items()
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in proto.output]
    graph = helper.make_graph([copy], "constant", infos, outputs)
    try:
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        results = ReferenceEvaluator(model).run(None, feeds)
    except Exception as error:  # the evaluator raises whatever its operators do
        raise node.refuse(f"its constant value cannot be computed: {error}") from error
    return tuple(np.asarray(result) for result in results)
