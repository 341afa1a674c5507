"""The ablation ``weights=fp32`` of ``ptdq`` and ``ptsq``: activations are quantized, weights stay float."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from policypress.compression.onnx_runtime_quantizers import NETWORK_OPERATORS
from policypress.policy.policy import Policy
from policypress.policy.quantization import affine_spec


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


def static(model: onnx.ModelProto, policy: Policy, ranges: Mapping[str, tuple[float, float]]) -> onnx.ModelProto:
    """Quantize what every weighted layer reads with fixed min-max scales (uint8).

    ``ranges`` holds the extremes per value of the policy; node names of the model start with the layer's name.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    nodes: list[onnx.NodeProto] = []
    layers = {name: policy.node(name).inputs[0] for name, _ in policy.weighted_layers()}
    done: dict[str, str] = {}
    for node in result.graph.node:
        layer = node.name.partition("/")[0]
        if node.op_type in NETWORK_OPERATORS and layer in layers:
            value = node.input[0]
            if value not in done:
                spec = affine_spec(*ranges[layers[layer]])
                names = [f"{value}/scale", f"{value}/zero_point"]
                scale, zero = np.float32(spec.scale.item()), np.uint8(spec.zero_point.item())
                result.graph.initializer.extend(
                    [
                        numpy_helper.from_array(np.array(scale), names[0]),
                        numpy_helper.from_array(np.array(zero), names[1]),
                    ]
                )
                nodes.append(helper.make_node("QuantizeLinear", [value, *names], [f"{value}/quantized"]))
                done[value] = f"{value}/dequantized"
                nodes.append(helper.make_node("DequantizeLinear", [f"{value}/quantized", *names], [done[value]]))
            node.input[0] = done[value]
        nodes.append(node)
    _replace_nodes(result, nodes)
    return result


def _replace_nodes(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
