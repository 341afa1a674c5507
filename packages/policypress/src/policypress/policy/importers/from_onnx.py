"""From an ONNX file (of ours, of Stable-Baselines3's documentation, of ``torch.onnx``) to a :class:`Policy`.

The part of the graph that gives the action is translated operator by operator; constant parts are computed;
the result is compared with onnx's reference evaluator before it is handed out.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
import onnx.inliner
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor

from policypress.agents.bundle import AgentBundle, OnnxNetwork
from policypress.agents.onnx_reading.interface import RANDOM, Interface, described, interface_of, quoted
from policypress.policy import layers
from policypress.policy.importers import elementwise as ew
from policypress.policy.importers.action_scale import scaled, scaling
from policypress.policy.importers.assembly import BATCH, SUPPORTED, Assembly, Decision, Refused, Value
from policypress.policy.importers.from_module import normalise_inputs
from policypress.policy.importers.onnx import elementwise as onnx_elementwise
from policypress.policy.importers.onnx import shapes as onnx_shapes
from policypress.policy.importers.onnx import weighted as onnx_weighted
from policypress.policy.importers.onnx.batch import with_batch
from policypress.policy.importers.onnx.reference import LARGEST_CONSTANTS_BYTES, compute, constant_of, evaluator
from policypress.policy.importers.onnx.registry import Operation, translate, without_batch
from policypress.policy.observation_layers import channel_last
from policypress.policy.policy import ACTION, SINGLE_KEY, Origin, Policy
from policypress.policy.recurrence import onnx_operators
from policypress.policy.recurrence.file_memory import memory_of_file
from policypress.policy.recurrence.module_memory import ModuleMemory
from policypress.policy.recurrence.moved import Moved
from policypress.policy.recurrence.onnx_operators import translate_moved
from policypress.policy.self_check import Arrays, check_same
from policypress.policy.traced.onnx_ends import inputs_by_key, needed_part
from policypress_runtime.contract import Box, Contract, DictSpace, SourceNames, Space, stated, with_mask
from policypress_runtime.contract_facts import kept_metadata
from policypress_runtime.errors import NetworkError
from policypress_runtime.foreign_text import is_plain
from policypress_runtime.onnx_files.node import STANDARD_DOMAINS, attributes_of, opset_of
from policypress_runtime.space import NAME_LENGTH

FAMILIES = (onnx_elementwise, onnx_shapes, onnx_weighted, onnx_operators)
QUANTIZED = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger"}
OLDEST_OPSET = 9
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
_HINT = (
    "Export the part that gives the action, one step of it, in fp32, or give the torch module to Policy.from_module."
)
# Constants larger than the batch sentinel are sizes only in these.
_SHAPED_BY_OPERAND = {"ConstantOfShape", "Expand", "Tile", "Range", "Reshape"}


def from_onnx(bundle: AgentBundle, *, transposed_keys: Collection[str] = ()) -> Policy:
    """Policy of an agent that came as an ONNX file.

    The action is the output that the reader chose, or chooses by its rule. For a Box its finite bounds are applied on
    top; scores of discrete actions may be a closing softmax away from the file's.

    Args:
        bundle: an agent whose network is an :class:`OnnxNetwork`. Images may be channel-last in its observation
            space where the file takes them channel-first: the graph then transposes them.
        transposed_keys: observation keys of images that the caller gives channel-last although the bundle's
            space, which is the file's, is channel-first.

    Raises:
        AgentError: a state that is not among its inputs and outputs, or an action that is not determined.
        NetworkError: an operator without a layer (the message names it and its node), a quantized file, or inputs
            and outputs that do not fit the spaces.
    """
    if not isinstance(bundle.network, OnnxNetwork):
        raise NetworkError("This agent is not an ONNX file.", got=bundle.algorithm, expected="onnx")
    model = onnx.inliner.inline_local_functions(onnx.load_model_from_string(bundle.network.model))
    contract = _contract(model)
    known = None if contract is None else tuple((spec.name, spec.next_name) for spec in contract.state)
    ends = interface_of(model, stated=bundle.network.action, actions=bundle.action_space, states=known)
    _check(model)
    space = _caller_space(bundle.observation_space, transposed_keys)
    assembly = Assembly(space)
    source = _Source(model, ends, space)
    memory = memory_of_file(source.original, ends, contract)
    translation = _Translation(assembly, source, bundle, memory)
    result = translation.run(set() if contract is None else set(contract.folded))
    told, more = source.notices(), tuple[str, ...]()
    scale = bundle.network.scale_actions
    if contract is None:
        result, more = scaled(assembly, result, bundle.action_space, scale)
    algorithm = bundle.algorithm if contract is None else contract.algorithm
    named, left_out = _named(model, ends, source, contract)
    origin = Origin(
        algorithm=algorithm,
        environment=bundle.environment,
        caller_supplies=with_mask(algorithm, bundle.caller_supplies),
        assumptions=bundle.assumptions,
        checked=bundle.checked,
        sha256=bundle.provenance.sha256,
        source=named,
        training=bundle.provenance.training,
        notices=tuple(dict.fromkeys((*bundle.notices, *told, *more, *left_out))),
    )
    try:
        # An artifact's actions are the environment's already.
        carried = memory.following([translation.values.get(given) for _, given in ends.states])
        policy = assembly.finish(result, bundle.action_space, origin, final=contract is not None, states=carried)
    except Refused as refusal:
        raise NetworkError(
            "The network does not fit the action space.", got=str(refusal), expected=repr(bundle.action_space)
        ) from refusal
    network = scaling(lambda given: source.evaluate(given, memory)[0], bundle.action_space, scale)
    check_same(policy, network, bundle.normaliser, lambda given: source.evaluate(given, memory)[1])
    return policy


def _named(
    model: onnx.ModelProto, ends: Interface, source: _Source, contract: Contract | None
) -> tuple[SourceNames | None, tuple[str, ...]]:
    """What the file calls its parts and says of itself, and what is left out of that; an artifact's own says it all."""
    if contract is not None:
        return contract.source, ()
    kept, left = kept_metadata((entry.key, entry.value) for entry in model.metadata_props)
    names = (*(value.name for value in source.inputs.values()), ends.action)
    if not all(0 < len(name) <= NAME_LENGTH and is_plain(name) for name in names):
        return None, (
            "The contract leaves out the names of the ONNX file's inputs and outputs, which cannot be shown.",
        )
    told = f"The contract leaves out what the ONNX file's metadata says under {quoted(', '.join(left)[:200])}."
    return SourceNames(tuple(names[:-1]), ends.action, kept), (told,) if left else ()


def _contract(model: onnx.ModelProto) -> Contract | None:
    stored = stated((entry.key, entry.value) for entry in model.metadata_props)
    return None if stored is None else Contract.from_text(stored)


def _check(model: onnx.ModelProto) -> None:
    quantized = [node for node in model.graph.node if node.op_type in QUANTIZED or node.op_type.startswith("QLinear")]
    if quantized:
        raise NetworkError(
            "The ONNX file is already quantized.",
            got=f"{quantized[0].op_type} at node {quantized[0].name!r}",
            expected="a float32 network",
            hint="Give the fp32 file to compress; an artifact of policypress that is quantized can be inspected, "
            "evaluated, benchmarked and exported as it is.",
        )
    opset = opset_of(model)
    if opset < OLDEST_OPSET:
        raise NetworkError(
            "The ONNX file has an old opset.",
            got=f"opset {opset}",
            expected=f"opset {OLDEST_OPSET} or newer",
            hint="Convert it with onnx.version_converter.",
        )


def _caller_space(space: Space, transposed_keys: Collection[str], key: str = SINGLE_KEY) -> Space:
    if isinstance(space, DictSpace):
        return DictSpace(tuple((name, _caller_space(part, transposed_keys, name)) for name, part in space.spaces))
    return channel_last(space) if isinstance(space, Box) and key in transposed_keys else space


class _Source:
    """The file: which of its inputs is which observation, which output is the action, and what it computes."""

    def __init__(self, model: onnx.ModelProto, ends: Interface, space: Space) -> None:
        self.action = ends.action
        self.model = model = needed_part(model, ends)
        keys = [key for key, _ in space.spaces] if isinstance(space, DictSpace) else [SINGLE_KEY]
        self.inputs = inputs_by_key(model, ends, keys)
        self.parts = dict(space.spaces) if isinstance(space, DictSpace) else {SINGLE_KEY: space}
        self.original = model
        self.bare = [key for key in self.inputs if self._is_bare(key)]
        if self.bare:
            self.model = model = self._batched()
            self.inputs = inputs_by_key(model, ends, keys)
        self._evaluator: ReferenceEvaluator | None = None

    def _is_bare(self, key: str) -> bool:
        """Whether an input takes one observation, without a batch axis."""
        part, sizes = self.parts[key], self.sizes(key)
        if not isinstance(part, Box) or not part.shape or len(sizes) != len(part.shape):
            return False
        orders = [part.shape, *([(part.shape[2], *part.shape[:2])] if len(part.shape) == 3 else [])]
        return any(all(size in (None, n) for size, n in zip(sizes, shape, strict=True)) for shape in orders)

    def _batched(self) -> onnx.ModelProto:
        fixed = onnx.ModelProto()
        fixed.CopyFrom(self.original)
        try:
            if len(self.bare) < len(self.inputs):
                raise Refused("other inputs have a batch axis")
            for key, value in self.inputs.items():
                stated = next(v for v in fixed.graph.input if v.name == value.name)
                part = self.parts[key]
                shape = part.shape if isinstance(part, Box) else ()
                sizes = [size or n for size, n in zip(self.sizes(key), shape, strict=True)]
                stated.type.CopyFrom(helper.make_tensor_type_proto(value.type.tensor_type.elem_type, sizes))
            return with_batch(fixed)
        except Refused as refusal:
            raise NetworkError(
                "An input of the ONNX file has no batch axis, and it is not known how to give it one.",
                got=f"{described(self.inputs[self.bare[0]])}; {refusal}",
                expected="the batch as the first axis of the input",
                hint="Export with a batch of observations: torch.onnx.export(network, obs[None], ...).",
            ) from refusal

    def sizes(self, key: str) -> list[int | None]:
        """Sizes of an input, None where they are free."""
        dims = self.inputs[key].type.tensor_type.shape.dim
        return [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in dims]

    def notices(self) -> tuple[str, ...]:
        """Notices about the inputs."""
        shapes = {self.inputs[key].name: list(self.sizes(key)[1:]) for key in self.bare}
        return tuple(
            f"The input {quoted(name)} of the ONNX file has no batch axis; it is one observation of shape {shape}."
            for name, shape in shapes.items()
        )

    @property
    def fixed_batch(self) -> int | None:
        """The batch size the file was exported with, if it is not free."""
        sizes = [self.sizes(key) for key in self.inputs]
        return next((s[0] for s in sizes if s and s[0] is not None), None)

    def transposes(self, key: str) -> bool:
        """Whether the file takes channel-first what the caller gives channel-last."""
        part, sizes = self.parts[key], self.sizes(key)
        if not isinstance(part, Box) or len(part.shape) != 3 or len(sizes) != 4 or None in sizes[1:]:
            return False
        height, width, channels = part.shape
        return sizes[1:] != [height, width, channels] and sizes[1:] == [channels, height, width]

    def evaluate(self, observations: Arrays, memory: ModuleMemory) -> tuple[npt.NDArray[np.generic], Arrays]:
        """The action output for a batch, and the next states batch first, by onnx's reference evaluator."""
        self._evaluator = self._evaluator or evaluator(self.original)
        feeds = {self.inputs[key].name: self._fed(key, observations[key]) for key in self.inputs}
        axes = {spec.name: axis for spec, axis in zip(memory.specs, memory.axes, strict=True)}
        rows = len(next(iter(observations.values())))
        step = 1 if self.bare else self.fixed_batch or rows
        parts: list[npt.NDArray[np.generic]] = []
        states: dict[str, list[npt.NDArray[np.generic]]] = {spec.name: [] for spec in memory.specs}
        for start in range(0, rows, step):
            # A file with a fixed batch takes that many rows: the last ones repeat where there are fewer.
            chosen = np.minimum(np.arange(start, start + step), rows - 1)
            taken = {name: values[chosen[0] if self.bare else chosen] for name, values in feeds.items()}
            taken |= {name: np.moveaxis(observations[name][chosen], 0, axis) for name, axis in axes.items()}
            outputs = cast(list[Any], self._evaluator.run([self.action, *(s.next_name for s in memory.specs)], taken))
            parts.append(np.asarray(outputs[0]).reshape(step, -1)[: rows - start])
            for spec, value in zip(memory.specs, outputs[1:], strict=True):
                states[spec.name].append(np.moveaxis(np.asarray(value), axes[spec.name], 0)[: rows - start])
        result = np.concatenate(parts)
        after = {name: np.concatenate(values) for name, values in states.items()}
        return (result.astype(np.int8) if result.dtype == np.bool_ else result), after

    def _fed(self, key: str, values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        kind = helper.tensor_dtype_to_np_dtype(self.inputs[key].type.tensor_type.elem_type)
        if self.transposes(key):
            values = np.moveaxis(values, -1, 1)
        return np.ascontiguousarray(values.astype(kind))


class _Translation:
    """Walks the part of the graph that gives the action and gives it to an assembly."""

    def __init__(self, assembly: Assembly, source: _Source, bundle: AgentBundle, memory: ModuleMemory) -> None:
        self.assembly = assembly
        self.source = source
        self.opset = opset_of(source.model)
        self.values: dict[str, Any] = {"": None}
        self.constants_left = LARGEST_CONSTANTS_BYTES + 4 * source.model.ByteSize()
        for tensor in source.model.graph.initializer:
            self.values[tensor.name] = constant_of(numpy_helper.to_array(tensor))
        for key, value in normalise_inputs(assembly, bundle.normaliser).items():
            if key in source.inputs:
                self.values[source.inputs[key].name] = self._bound(key, value)
        for spec, state in zip(memory.specs, memory.bound(assembly), strict=True):
            self.values[spec.name] = state

    def run(self, folded: Collection[str]) -> Value | Decision:
        """Translate; ``folded`` names what the contract says the graph does beyond the network."""
        for node in self.source.model.graph.node:
            before = len(self.assembly.steps)
            outputs = self._node(node)
            self.values.update(zip(node.output, outputs, strict=False))
            _mark(self.assembly, before, node.output[0], folded)
        result = self.values.get(self.source.action)
        if isinstance(result, Moved):
            raise NetworkError(
                "The output of the ONNX file does not have the batch first.",
                got=f"the batch as axis {result.axis} of {self.source.action!r}",
                expected="the batch as the first axis",
                hint=_HINT,
            )
        if not isinstance(result, Value | Decision):
            raise NetworkError(
                "The output of the ONNX file does not depend on the observation.", got=self.source.action
            )
        return result

    def _bound(self, key: str, value: Value) -> Value:
        declared, sizes = self.source.inputs[key], self.source.sizes(key)
        if self.source.transposes(key):
            order = layers.Transpose((0, 3, 1, 2), role="transpose_image")
            value = self.assembly.add("transpose", order, value)
        shape = list(value.shape)
        if len(sizes) != len(shape) + 1 or any(s not in (None, n) for s, n in zip(sizes[1:], shape, strict=True)):
            raise NetworkError(
                f"Input {declared.name!r} of the ONNX file does not fit the observation.",
                got=f"shape {['batch' if s is None else s for s in sizes]}",
                expected=f"shape {['batch', *shape]}",
                hint="The first axis must be the batch; export with a batch of observations.",
            )
        kind = declared.type.tensor_type.elem_type
        if kind in FLOATS:
            return ew.as_float(self.assembly, value)
        if not value.integer:
            raise NetworkError(
                f"Input {declared.name!r} of the ONNX file takes integers, and the observation has real numbers.",
                got=TensorProto.DataType.Name(kind),
                expected="FLOAT",
            )
        return value

    def _node(self, node: onnx.NodeProto) -> tuple[Any, ...]:
        attributes = attributes_of(node)
        try:
            if node.domain not in STANDARD_DOMAINS:
                raise Refused(f"it is of the domain {node.domain!r}")
            operands = [self.values[name] for name in node.input]
            if not any(isinstance(v, Value | Moved | Decision) for v in operands):
                return self._constant(node, operands)
            if node.op_type == "Reshape" and isinstance(operands[0], Value) and self.source.fixed_batch is not None:
                operands[1] = self._free(operands[1])
            name = node.name or node.output[0]
            operation = Operation(node.op_type, name, attributes, operands, len(node.output), self.opset)
            elsewhere = translate_moved(self.assembly, operation)
            return translate(self.assembly, operation) if elsewhere is None else elsewhere
        except Refused as refusal:
            raise NetworkError(
                "The ONNX file uses an operator in a way that is not supported.",
                got=f"{node.op_type} at node {node.name or node.output[0]!r}: {refusal}",
                expected=SUPPORTED,
                hint=_HINT,
            ) from refusal
        # What the checker lets through: operands that are missing or of another kind than the operator's.
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            raise NetworkError(
                "The ONNX file contains an invalid operator.",
                got=f"{node.op_type} at node {node.name or node.output[0]!r}: {type(error).__name__}: {error}"[:300],
                expected="operands, attributes and shapes that fit the operator",
                hint=_HINT,
            ) from error

    def _free(self, shape: Any) -> Any:
        """A target shape in which the batch size that the file was exported with is the batch."""
        if isinstance(shape, Tensor) and shape.numel() and int(shape[0]) == self.source.fixed_batch:
            shape = shape.clone()
            shape[0] = BATCH
        return shape

    def _constant(self, node: onnx.NodeProto, operands: list[Any]) -> tuple[Any, ...]:
        if node.op_type in RANDOM:
            raise Refused("it is random")
        if node.op_type in _SHAPED_BY_OPERAND:
            operands = [without_batch(v) if isinstance(v, Tensor) else v for v in operands]
        given = {n: v.numpy() for n, v in zip(node.input, operands, strict=True) if v is not None}
        results = tuple(constant_of(v) for v in compute(node, given, self.opset))
        self.constants_left -= sum(v.nbytes for v in results)
        if self.constants_left < 0:
            raise Refused(f"the file's constants take more than {LARGEST_CONSTANTS_BYTES >> 20} MiB")
        return results


# What an artifact of ours calls the value of a layer with a role (see the writers).
_ROLES = {
    "normalise": "normalise",
    "transpose": "transpose_image",
    "scale_image": "scale_image",
    "mean_clip": "clip_mean",
    "squash": "squash",
    "unscale": "unscale",
    "clip": "clip",
}


def _mark(assembly: Assembly, before: int, output: str, folded: Collection[str]) -> None:
    """Give the layers after the first ``before``, one node of an artifact, the role its contract tells."""
    role = next((role for stem, role in _ROLES.items() if output.startswith(stem) and role in folded), None)
    if output == ACTION and "argmax" not in folded and "threshold" not in folded:
        role = next((role for role in ("clip", "unscale", "squash") if role in folded), None)
    for name in list(assembly.steps)[before:] if role is not None else ():
        setattr(assembly.steps[name].layer, "role", role)  # noqa: B010
