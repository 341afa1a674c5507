"""The ablation ``weights=fp32`` of ``ptdq`` and ``ptsq``: activations are quantized, weights stay float."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import helper

from policypress.compression.quantization.onnx_runtime_quantizers import NETWORK_OPERATORS
from policypress.policy.policy import Policy
from policypress.policy.quantization import LayerQuant, affine_spec
from policypress.writers.onnx_writer import to_onnx


def dynamic(model: onnx.ModelProto, excluded: list[str]) -> onnx.ModelProto:
    """Quantize what every network operator reads by its minimum and maximum at run time (uint8)."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    nodes: list[onnx.NodeProto] = []
    done: dict[str, str] = {}
    for node in result.graph.node:
        if node.op_type in NETWORK_OPERATORS and node.name not in excluded:
            value = node.input[0]
            if value not in done:
                parts = [f"{value}/quantized", f"{value}/scale", f"{value}/zero_point"]
                nodes.append(helper.make_node("DynamicQuantizeLinear", [value], parts, name=f"{value}/dynamic"))
                done[value] = f"{value}/dequantized"
                nodes.append(helper.make_node("DequantizeLinear", parts, [done[value]], name=f"{value}/dequantize"))
            node.input[0] = done[value]
        nodes.append(node)
    _replace_nodes(result, nodes)
    return result


def static(policy: Policy, ranges: Mapping[str, tuple[float, float]]) -> onnx.ModelProto:
    """Quantize what every weighted layer reads with fixed min-max scales (uint8).

    ``ranges`` holds the extremes of what the layers read, by value name.
    """
    result = policy.clone()
    specs = {value: affine_spec(*span) for value, span in ranges.items()}
    for name, layer in result.weighted_layers():
        layer.quant = LayerQuant(input=specs[result.node(name).inputs[0]])
    return to_onnx(result)


def _replace_nodes(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
