"""A policy that comes as an ONNX file, of ours or from elsewhere."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from policypress.agents.applicable import AgentKind, refuse_useless
from policypress.agents.archive import read_bytes, sha256_of
from policypress.agents.bundle import AgentBundle, OnnxNetwork, Provenance
from policypress.agents.normalisers.normalisation import normalisation_of_network
from policypress.agents.onnx_reading.external import take_in
from policypress.agents.onnx_reading.interface import INTEGERS, described, interface_of, quoted, shape_of
from policypress.agents.onnx_reading.output_names import Kind, kind_of
from policypress.agents.overrides import NO_OVERRIDES, Overrides
from policypress_runtime.contract import Box, Contract, DictSpace, Discrete, Space, stated
from policypress_runtime.errors import (
    AgentError,
    ArtifactError,
    DamagedAgentError,
    UndeterminedAgentError,
    UnsupportedAgentError,
)
from policypress_runtime.onnx_files.size import check_size
from policypress_runtime.sidecar import check_pair

MAX_ONNX_BYTES = 1024**3
# Numbers in an observation or an action: an image of 2048 by 2048 in four colours.
MAX_ELEMENTS = 2**24
_NUMBERS: dict[int, str] = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.DOUBLE: "float64",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.INT32: "int32",
    onnx.TensorProto.INT64: "int64",
}


def read_onnx(path: Path, *, overrides: Overrides = NO_OVERRIDES) -> AgentBundle:
    """Read an ONNX file; its contract tells the spaces if it is one of ours, else its inputs and outputs do.

    Raises:
        AgentError: the user states what can be of no use for it.
        UnsupportedAgentError: more nodes than any policy has.
        DamagedAgentError: not ONNX, not valid, or weights that are not finite.
        ArtifactError: the sidecar beside an artifact belongs to another one.
        UnsafeAgentError: it refers to data outside its folder.
        UndeterminedAgentError: several outputs could be the action; free dimensions, or a discrete output, without
            ``--env``.
        UnsupportedAgentError: a recurrent graph.
    """
    content = read_bytes(path, limit_bytes=MAX_ONNX_BYTES)
    model, beside = _parse(content, path)
    _check_weights(model, path.name)
    producer = f"{model.producer_name} {model.producer_version}".strip()
    # Of both files one after the other, as `cat` would give them.
    provenance = Provenance(str(path), sha256_of(b"".join((content, *beside.values()))), producer or None)
    content = model.SerializeToString() if beside else content
    contract = _contract(model, path.name)
    if contract is not None:
        refuse_useless(overrides, AgentKind.ARTIFACT, path.name)
        check_pair(path)
        bundle = AgentBundle(
            OnnxNetwork(content),
            overrides.observation_space or contract.observation_space,
            overrides.action_space or contract.action_space,
            provenance,
            contract.environment,
            caller_supplies=contract.caller_supplies,
            checked=contract.checked,
        )
    else:
        refuse_useless(overrides, AgentKind.NETWORK, path.name)
        known = _stated_actions(overrides)
        ends = interface_of(model, stated=overrides.output_name, actions=known)
        observations, told = _observations(model, ends.inputs, ends.action, overrides)
        actions, more = (known, ()) if known is not None else _actions(model, ends.action)
        network = OnnxNetwork(content, ends.action, overrides.scale_actions)
        bundle = AgentBundle(network, observations, actions, provenance, notices=(*told, *ends.notices, *more))
    normalisation = normalisation_of_network(path, bundle.observation_space, overrides, contract)
    return replace(
        bundle,
        normaliser=normalisation.normalisers,
        caller_supplies=tuple(dict.fromkeys((*bundle.caller_supplies, *normalisation.caller_supplies))),
        notices=(*bundle.notices, *normalisation.notices),
        assumptions=normalisation.assumptions,
    )


def _parse(content: bytes, path: Path) -> tuple[onnx.ModelProto, dict[str, bytes]]:
    try:
        model = onnx.load_model_from_string(content)
        check_size(model, path.name)
        beside = take_in(model, path, MAX_ONNX_BYTES - len(content))
        onnx.checker.check_model(model)
    except AgentError:
        raise
    # protobuf and the checker raise types of their own, which differ between versions.
    except Exception as error:
        raise DamagedAgentError(
            f"{path.name} is not a valid ONNX file.",
            got=(str(error).splitlines() or [""])[0][:200] or type(error).__name__,
            expected="a file that onnx.checker accepts",
        ) from error
    return model, beside


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


def _stated_actions(overrides: Overrides) -> Space | None:
    """The action space that the user named by an environment, by ``--actions``, or by both."""
    space, count = overrides.action_space, overrides.discrete_actions
    if count is None:
        return space
    if space is not None and not (isinstance(space, Discrete) and space.n == count):
        raise AgentError(
            "--actions and the environment say different things.",
            got=f"--actions {count}, and an environment with {space}",
            expected="the same number of actions",
            hint="Leave --actions out: the environment tells it.",
        )
    return space or Discrete(count)


def _observations(
    model: onnx.ModelProto, needed: tuple[str, ...], action: str, overrides: Overrides
) -> tuple[Space, tuple[str, ...]]:
    if overrides.observation_space is not None:
        return overrides.observation_space, ()
    inputs = [value for value in model.graph.input if value.name in needed]
    if not inputs:
        raise UnsupportedAgentError(
            "The action of the ONNX file depends on no input.", got="0 inputs", expected="an observation"
        )
    _refuse_fixed_batch(inputs[0], next(value for value in model.graph.output if value.name == action))
    boxes = tuple((value.name, _box(value, "input")) for value in inputs)
    notice = ("observation bounds are not in the ONNX file; they are taken as unbounded",)
    return (boxes[0][1] if len(boxes) == 1 else DictSpace(boxes)), notice


def _refuse_fixed_batch(taken: onnx.ValueInfoProto, given: onnx.ValueInfoProto) -> None:
    """``[5, 6]`` to ``[5, 2]`` is a batch of 5, or an observation of 5 rows."""
    first, last = shape_of(taken) or (), shape_of(given) or ()
    if len(first) > 1 and len(last) > 1 and first[0] == last[0] and (first[0] or 0) > 1:
        raise UndeterminedAgentError(
            "It is not clear whether the ONNX file takes a batch or one observation.",
            got=f"input {described(taken)}, output {described(given)}",
            expected="a free batch axis, or one of 1",
            hint="Name the environment: --env ID; or export with a batch of 1.",
        )


def _actions(model: onnx.ModelProto, name: str) -> tuple[Space, tuple[str, ...]]:
    output = next(value for value in model.graph.output if value.name == name)
    if output.type.tensor_type.elem_type in INTEGERS:
        raise UndeterminedAgentError(
            "The ONNX file has discrete actions and does not state how many there are.",
            got=f"output {quoted(name)} of integers",
            expected="the number of actions",
            hint="State the number: --actions N, or name the environment: --env ID.",
        )
    box = _box(output, "output")
    count = "one number" if box.size == 1 else f"{box.size} numbers"
    notice = f"The action is taken as {count} without bounds; --env names an environment with bounds"
    likely = box.size > 1 and kind_of(name) >= Kind.SCORES
    scores = f", --actions {box.size} says that they are scores of discrete actions" if likely else ""
    return box, (f"{notice}{scores}.",)


def _box(value: onnx.ValueInfoProto, role: str) -> Box:
    kind = value.type.tensor_type
    dtype = _NUMBERS.get(kind.elem_type)
    if dtype is None or not kind.HasField("shape"):
        raise UnsupportedAgentError(
            f"The ONNX file's {role} {value.name!r} has an unsupported type.",
            got=onnx.TensorProto.DataType.Name(kind.elem_type)
            if kind.elem_type in onnx.TensorProto.DataType.values()
            else "?",
            expected=", ".join(_NUMBERS.values()) + ", with a shape",
        )
    sizes = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in kind.shape.dim]
    # The first dimension is the batch where it is free, or one of several and 1.
    if sizes and (sizes[0] == 0 or (len(sizes) > 1 and sizes[0] == 1)):
        sizes = sizes[1:]
    if any(size < 1 for size in sizes) or math.prod(sizes) > MAX_ELEMENTS:
        raise UndeterminedAgentError(
            f"The ONNX file's {role} {value.name!r} has free dimensions besides the batch.",
            got=f"shape {[d.dim_param or d.dim_value for d in kind.shape.dim]}",
            expected="a fixed shape after the batch dimension",
            hint="Name the environment: --env ID.",
        )
    # Bytes have their bounds in their type.
    low, high = (0.0, 255.0) if dtype == "uint8" else (-math.inf, math.inf)
    return Box(tuple(sizes), dtype, (low,), (high,))
