"""The ends of an ONNX file as a policy has them: its inputs by the observation's keys, and the part that acts."""

from __future__ import annotations

import onnx

from policypress.agents.onnx_reading.interface import Interface, described, quoted, read_by
from policypress.agents.onnx_reading.output_names import is_mask
from policypress.policy.policy import SINGLE_KEY, input_name
from policypress_runtime.errors import NetworkError


def inputs_by_key(model: onnx.ModelProto, ends: Interface, keys: list[str]) -> dict[str, onnx.ValueInfoProto]:
    """The inputs that are the observation, by its keys.

    Raises:
        NetworkError: there are several and one key, or one is none of the keys.
    """
    inputs = [value for value in model.graph.input if value.name in ends.inputs]
    if keys == [SINGLE_KEY] and len(inputs) > 1:
        mask = next((value.name for value in inputs if is_mask(value.name)), None)
        raise NetworkError(
            "The action of the ONNX file needs more than the observation.",
            got="; ".join(described(value) for value in inputs[:12]),
            expected="one input, or a dict observation with a key for each",
            hint="Export the network so that its action needs only the observation, or use it without --env: the "
            "artifact then takes all of them."
            if mask is None
            else f"Export the scores before the mask {quoted(mask)} is applied, or use it without --env: whoever calls "
            "the artifact then gives the mask.",
        )
    return {_key_of(value.name, keys): value for value in inputs}


def _key_of(name: str, keys: list[str]) -> str:
    if keys == [SINGLE_KEY]:
        return SINGLE_KEY
    for key in keys:
        if name in (key, input_name(key)) or name.endswith((f".{key}", f"_{key}", f"/{key}")):
            return key
    raise NetworkError(
        "An input of the ONNX file is none of the observation's keys.",
        got=quoted(name),
        expected=", ".join(keys),
        hint="Name the inputs after the keys (input_names in torch.onnx.export).",
    )


def needed_part(model: onnx.ModelProto, ends: Interface) -> onnx.ModelProto:
    """The part of ``model`` that gives the action: critics and log-probabilities are left out."""
    outputs = {ends.action, *(given for _, given in ends.states)}
    inputs = {*ends.inputs, *(taken for taken, _ in ends.states)}
    wanted, kept = set(outputs), []
    for node in reversed(model.graph.node):
        if wanted.intersection(node.output):
            wanted.update(read_by(node))
            kept.append(node)
    part = onnx.ModelProto()
    part.CopyFrom(model)
    for repeated in (part.graph.node, part.graph.output, part.graph.input):
        del repeated[:]
    part.graph.node.extend(kept[::-1])
    part.graph.output.extend(value for value in model.graph.output if value.name in outputs)
    part.graph.input.extend(value for value in model.graph.input if value.name in inputs)
    return part
