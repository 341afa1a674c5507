"""From a policy to an ONNX model with its contract inside: the source of truth of every artifact."""

from __future__ import annotations

import json

import onnx
from onnx import TensorProto, helper

from policypress.policy.policy import ACTION, SCORES, Policy
from policypress.writers.onnx_graph import OnnxGraph
from policypress.writers.onnx_layers import write_layer
from policypress_runtime.contract import (
    INTEGER_BITS_KEY,
    METADATA_KEY,
    Box,
    Contract,
    Discrete,
    MultiBinary,
    MultiDiscrete,
    Precision,
    TensorSpec,
    action_width,
)
from policypress_runtime.errors import ArtifactError

ELEMENT_TYPES = {
    "float32": TensorProto.FLOAT,
    "uint8": TensorProto.UINT8,
    "int8": TensorProto.INT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
}


def outputs_of(policy: Policy) -> tuple[TensorSpec, ...]:
    """The graph's outputs: ``action``, and ``scores`` where actions are discrete."""
    match policy.action_space:
        case Box() as space:
            return (TensorSpec(ACTION, "float32", space.shape),)
        case Discrete():
            action = TensorSpec(ACTION, "int64", ())
        case MultiDiscrete() as space:
            action = TensorSpec(ACTION, "int64", (len(space.nvec),))
        case MultiBinary() as space:
            action = TensorSpec(ACTION, "int8", (space.n,))
        case _:
            raise TypeError(f"no such action space: {policy.action_space!r}")
    return (action, TensorSpec(SCORES, "float32", (action_width(policy.action_space),)))


def contract_of(policy: Policy, recipe: str, recipe_hash: str, precision: Precision, version: str) -> Contract:
    """The contract of the artifact that ``policy`` becomes."""
    return Contract(
        algorithm=policy.origin.algorithm,
        observation_space=policy.observation_space,
        action_space=policy.action_space,
        inputs=tuple(policy.inputs.values()),
        outputs=outputs_of(policy),
        folded=policy.folded(),
        recipe=recipe,
        recipe_hash=recipe_hash,
        environment=policy.origin.environment,
        caller_supplies=policy.origin.caller_supplies,
        assumptions=policy.origin.assumptions,
        checked=policy.origin.checked,
        state=tuple(state.spec for state in policy.states),
        parent_sha256=policy.origin.sha256,
        source=policy.origin.source,
        precision=precision,
        policypress_version=version,
    )


def to_onnx(policy: Policy) -> onnx.ModelProto:
    """ONNX model of ``policy``, without contract: standard operators, QDQ where a layer is quantized, free batch."""
    graph = OnnxGraph()
    states = [state.spec for state in policy.states]
    values = {name: name for name in (*(spec.name for spec in policy.inputs.values()), *(s.name for s in states))}
    outputs = outputs_of(policy)
    carried = {state.node: state.spec.next_name for state in policy.states[::-1]}
    for node in policy.nodes:
        out = ACTION if node is policy.nodes[-1] else carried.get(node.name, node.name)
        if node.name == policy.scores_node and len(outputs) > 1:
            out = SCORES
        graph.scope = node.name
        write_layer(graph, policy.layers[node.name], [values[name] for name in node.inputs], out)
        values[node.name] = out
    for state in policy.states:
        if values[state.node] != state.spec.next_name:
            graph.scope = state.node
            graph.op("Identity", [values[state.node]], state.spec.next_name)
    before = [_value(TensorSpec(spec.name, "float32", spec.shape)) for spec in states]
    after = [_value(TensorSpec(spec.next_name, "float32", spec.shape)) for spec in states]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "policy",
            [*(_value(spec) for spec in policy.inputs.values()), *before],
            [*(_value(spec) for spec in outputs), *after],
            list(graph.initializers.values()),
        ),
        producer_name="policypress",
        opset_imports=[helper.make_opsetid("", graph.opset)],
        ir_version=graph.ir_version,
    )
    if graph.widths:
        model.metadata_props.add(key=INTEGER_BITS_KEY, value=json.dumps(graph.widths, sort_keys=True))
    return model


def _value(spec: TensorSpec) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(spec.name, ELEMENT_TYPES[spec.dtype], ["batch", *spec.shape])


def embed_contract(model: onnx.ModelProto, contract: Contract) -> None:
    """Write ``contract`` into the model's ``metadata_props``, replacing one that is there.

    What the file before it said beside its network stands there too, where that file's own programs look for it.

    Raises:
        ArtifactError: what is written could not be read again: a name with control characters, for example.
    """
    text = _checked(contract)
    carried = {} if contract.source is None else dict(contract.source.metadata)
    kept = [p for p in model.metadata_props if p.key != METADATA_KEY and p.key not in carried]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    for key, value in (*carried.items(), (METADATA_KEY, text)):
        model.metadata_props.add(key=key, value=value)


def _checked(contract: Contract) -> str:
    """JSON of ``contract``, which reading accepts."""
    try:
        text = json.dumps(contract.to_json(), sort_keys=True)
        Contract.from_text(text)
    except (TypeError, ValueError) as error:
        raise ArtifactError(
            "The artifact cannot state its contract.", got=str(error), expected="plain data: texts, numbers, lists"
        ) from error
    except ArtifactError as error:
        raise ArtifactError(
            "The artifact cannot state its contract.",
            got=error.got,
            expected=error.expected,
            hint="Give the policy's names, spaces and environment arguments another form.",
        ) from error
    return text
