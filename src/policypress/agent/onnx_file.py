"""A policy that comes as an ONNX file, of ours or from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

from policypress.agent.archive import read_bytes, sha256_of
from policypress.agent.bundle import AgentBundle, OnnxNetwork, Provenance
from policypress.agent.overrides import NO_OVERRIDES, Overrides
from policypress.contract import Box, Contract, DictSpace, Space, stated
from policypress.errors import (
    ArtifactError,
    DamagedAgentError,
    UndeterminedAgentError,
    UnsafeAgentError,
    UnsupportedAgentError,
)

MAX_ONNX_BYTES = 1024**3
_NUMBERS: dict[int, str] = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.DOUBLE: "float64",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.INT64: "int64",
}


def read_onnx(path: Path, *, overrides: Overrides = NO_OVERRIDES) -> AgentBundle:
    """Read an ONNX file; its contract tells the spaces if it is one of ours, else its inputs and outputs do.

    Raises:
        DamagedAgentError: not ONNX, not valid, or weights that are not finite.
        UnsafeAgentError: it refers to data outside itself.
        UndeterminedAgentError: free dimensions, or a discrete output, without ``--env``.
    """
    content = read_bytes(path, limit_bytes=MAX_ONNX_BYTES)
    model = _parse(content, path.name)
    _check_weights(model, path.name)
    producer = f"{model.producer_name} {model.producer_version}".strip()
    provenance = Provenance(str(path), sha256_of(content), producer or None)
    contract = _contract(model, path.name)
    if contract is not None:
        return AgentBundle(
            OnnxNetwork(content),
            overrides.observation_space or contract.observation_space,
            overrides.action_space or contract.action_space,
            provenance,
            contract.environment,
            caller_supplies=contract.caller_supplies,
        )
    observations, told = _observations(model, overrides)
    actions, more = _actions(model, overrides)
    return AgentBundle(OnnxNetwork(content), observations, actions, provenance, notices=(*told, *more))


def _parse(content: bytes, label: str) -> onnx.ModelProto:
    try:
        model = onnx.load_model_from_string(content)
        for tensor in _tensors(model.graph):
            if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
                raise UnsafeAgentError(
                    f"{label} keeps weights in other files, which it names itself.",
                    got=f"tensor {tensor.name!r}",
                    expected="one self-contained file",
                    hint="Save it with the weights inside: onnx.save_model(model, path, save_as_external_data=False).",
                )
        onnx.checker.check_model(model)
    except UnsafeAgentError:
        raise
    # protobuf and the checker raise types of their own, which differ between versions.
    except Exception as error:
        raise DamagedAgentError(
            f"{label} is not a valid ONNX file.",
            got=(str(error).splitlines() or [""])[0][:200] or type(error).__name__,
            expected="a file that onnx.checker accepts",
        ) from error
    return model


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from ([attribute.t] if attribute.HasField("t") else [])
            yield from attribute.tensors
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from _tensors(inner)


def _check_weights(model: onnx.ModelProto, label: str) -> None:
    for tensor in model.graph.initializer:
        try:
            array = onnx.numpy_helper.to_array(tensor)
        # Sizes that do not fit the shape, unknown element types.
        except Exception as error:
            raise DamagedAgentError(f"{label}: tensor {tensor.name!r} is damaged.", got=str(error)[:200]) from error
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DamagedAgentError(
                f"{label}: tensor {tensor.name!r} is not finite.",
                got="NaN or infinite numbers",
                expected="finite weights",
            )


def _contract(model: onnx.ModelProto, label: str) -> Contract | None:
    try:
        stored = stated((entry.key, entry.value) for entry in model.metadata_props)
        return None if stored is None else Contract.from_text(stored)
    except ArtifactError as error:
        raise DamagedAgentError(
            f"{label}: the contract in its metadata cannot be read.",
            got=error.got or error.message,
            expected=error.expected or "the contract that policypress writes",
            hint=error.hint,
        ) from error


def _observations(model: onnx.ModelProto, overrides: Overrides) -> tuple[Space, tuple[str, ...]]:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if not inputs:
        raise UnsupportedAgentError("The ONNX file has no input.", got="0 inputs", expected="an observation")
    if overrides.observation_space is not None:
        return overrides.observation_space, ()
    boxes = tuple((value.name, _box(value, "input")) for value in inputs)
    notice = ("observation bounds are not in the ONNX file; they are taken as unbounded",)
    return (boxes[0][1] if len(boxes) == 1 else DictSpace(boxes)), notice


def _actions(model: onnx.ModelProto, overrides: Overrides) -> tuple[Space, tuple[str, ...]]:
    if not model.graph.output:
        raise UnsupportedAgentError("The ONNX file has no output.", got="0 outputs", expected="an action")
    if overrides.action_space is not None:
        return overrides.action_space, ()
    output = model.graph.output[0]
    if output.type.tensor_type.elem_type in (onnx.TensorProto.INT64, onnx.TensorProto.INT32):
        raise UndeterminedAgentError(
            "The ONNX file gives discrete actions and does not tell how many there are.",
            got=f"output {output.name!r} of integers",
            expected="the number of actions",
            hint="Name the environment: --env ID.",
        )
    notice = f"output {output.name!r} of the ONNX file is taken as the action itself, unbounded; --env overrides"
    return _box(output, "output"), (notice,)


def _box(value: onnx.ValueInfoProto, role: str) -> Box:
    kind = value.type.tensor_type
    dtype = _NUMBERS.get(kind.elem_type)
    if dtype is None or not kind.HasField("shape"):
        raise UnsupportedAgentError(
            f"The ONNX file's {role} {value.name!r} is of a kind that is not supported.",
            got=onnx.TensorProto.DataType.Name(kind.elem_type)
            if kind.elem_type in onnx.TensorProto.DataType.values()
            else "?",
            expected=", ".join(_NUMBERS.values()) + ", with a shape",
        )
    sizes = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in kind.shape.dim]
    # The first dimension is the batch where it is free, or one of several and 1.
    if sizes and (sizes[0] == 0 or (len(sizes) > 1 and sizes[0] == 1)):
        sizes = sizes[1:]
    if any(size < 1 for size in sizes) or math.prod(sizes) > 10**8:
        raise UndeterminedAgentError(
            f"The ONNX file's {role} {value.name!r} has free dimensions besides the batch.",
            got=f"shape {[d.dim_param or d.dim_value for d in kind.shape.dim]}",
            expected="a fixed shape after the batch dimension",
            hint="Name the environment: --env ID.",
        )
    # Bytes have their bounds in their type.
    low, high = (0.0, 255.0) if dtype == "uint8" else (-math.inf, math.inf)
    return Box(tuple(sizes), dtype, (low,), (high,))
