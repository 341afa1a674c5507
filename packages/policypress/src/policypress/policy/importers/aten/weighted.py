"""ATen operators that weigh and combine elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from policypress.policy.importers import elementwise as ew
from policypress.policy.importers import weighted_operations as wo
from policypress.policy.importers.assembly import Assembly, Refused, Value
from policypress.policy.importers.aten.registry import Arguments, aten, axes_of, constant_of, optional


@aten("linear")
def _linear(a: Assembly, p: Arguments) -> Value:
    return wo.linear(a, p["input"], constant_of(p["weight"]), optional(p["bias"]))


@aten("addmm")
def _addmm(a: Assembly, p: Arguments) -> Value:
    if p["beta"] != 1 or p["alpha"] != 1:
        raise Refused("factors other than 1")
    return ew.add(a, wo.matmul(a, p["mat1"], p["mat2"]), p["self"])


@aten("mm", "matmul")
def _matmul(a: Assembly, p: Arguments) -> Value:
    return wo.matmul(a, p["self"], p["mat2"] if "mat2" in p else p["other"])


@aten("einsum")
def _einsum(a: Assembly, p: Arguments) -> Value:
    return wo.einsum(a, str(p["equation"]), list(p["tensors"]))


@aten("embedding")
def _embedding(a: Assembly, p: Arguments) -> Value:
    if not isinstance(p["indices"], Value):
        raise Refused("a table that depends on the observation")
    return wo.embedding(a, constant_of(p["weight"]), p["indices"])


@aten("one_hot")
def _one_hot(a: Assembly, p: Arguments) -> Value:
    return wo.one_hot(a, p["self"], int(p["num_classes"]))


def _spread(value: Any, axes: int) -> list[int]:
    values = [int(v) for v in value] if isinstance(value, Sequence) else [int(value)]
    return values * axes if len(values) == 1 else values


@aten("conv1d", "conv2d")
def _conv(a: Assembly, p: Arguments) -> Value:
    weight = constant_of(p["weight"])
    axes = weight.dim() - 2
    dilation, padding = _spread(p["dilation"], axes), p["padding"]
    if padding == "same":
        before, after = wo.same_padding(list(weight.shape[2:]), dilation)
    else:
        before = after = [0] * axes if padding == "valid" else _spread(padding, axes)
    return wo.conv(
        a,
        p["input"],
        weight,
        optional(p["bias"]),
        stride=_spread(p["stride"], axes),
        padding=(before, after),
        dilation=dilation,
        groups=int(p["groups"]),
    )


@aten("batch_norm", "_native_batch_norm_legit_no_training")
def _batch_norm(a: Assembly, p: Arguments) -> Any:
    if p.get("training") or p["running_mean"] is None or p["running_var"] is None:
        raise Refused("it uses the statistics of the batch; every observation must be treated alone")
    value = wo.batch_norm(
        a,
        p["input"],
        optional(p["weight"]),
        optional(p["bias"]),
        constant_of(p["running_mean"]),
        constant_of(p["running_var"]),
        float(p["eps"]),
    )
    return value if "training" in p else (value,)


@aten("layer_norm", "native_layer_norm")
def _layer_norm(a: Assembly, p: Arguments) -> Any:
    value = wo.layer_norm(
        a, p["input"], p["normalized_shape"], optional(p["weight"]), optional(p["bias"]), float(p["eps"])
    )
    return value if "cudnn_enable" in p else (value,)


@aten("group_norm")
def _group_norm(a: Assembly, p: Arguments) -> Value:
    return wo.group_norm(
        a, p["input"], int(p["num_groups"]), optional(p["weight"]), optional(p["bias"]), float(p["eps"])
    )


@aten("instance_norm")
def _instance_norm(a: Assembly, p: Arguments) -> Value:
    x: Value = p["input"]
    weight, bias = optional(p["weight"]), optional(p["bias"])
    if p["use_input_stats"]:
        return wo.group_norm(a, x, x.shape[0], weight, bias, float(p["eps"]))
    return wo.batch_norm(
        a, x, weight, bias, constant_of(p["running_mean"]), constant_of(p["running_var"]), float(p["eps"])
    )


@aten("rms_norm")
def _rms_norm(a: Assembly, p: Arguments) -> Value:
    eps = torch.finfo(torch.float32).eps if p["eps"] is None else float(p["eps"])
    return wo.rms_norm(a, p["input"], len(p["normalized_shape"]), optional(p["weight"]), eps)


@aten("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d")
def _pool(a: Assembly, p: Arguments) -> Value:
    axes = len(p["self"].shape) - 1
    kernel = _spread(p["kernel_size"], axes)
    if set(_spread(p.get("dilation", 1), axes)) != {1} or p.get("divisor_override") is not None:
        raise Refused("pooling with dilation or its own divisor")
    padding = _spread(p["padding"], axes)
    return wo.pool(
        a,
        p["self"],
        "average" if "count_include_pad" in p else "max",
        kernel,
        stride=_spread(p["stride"] or kernel, axes),
        padding=(padding, padding),
        ceil=bool(p["ceil_mode"]),
        count_padding=bool(p.get("count_include_pad", False)),
    )


@aten("adaptive_avg_pool1d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d")
def _adaptive_average(a: Assembly, p: Arguments) -> Value:
    return wo.adaptive_pool(a, p["self"], "average", p["output_size"])


@aten("adaptive_max_pool1d", "adaptive_max_pool2d")
def _adaptive_max(a: Assembly, p: Arguments) -> tuple[Value]:
    return (wo.adaptive_pool(a, p["self"], "max", p["output_size"]),)


@aten("mean")
def _mean(a: Assembly, p: Arguments) -> Value:
    return wo.mean(a, p["self"], axes_of(p.get("dim")), keep=bool(p.get("keepdim")))


@aten("sum")
def _sum(a: Assembly, p: Arguments) -> Value:
    return wo.total(a, p["self"], axes_of(p.get("dim")), keep=bool(p.get("keepdim")))


@aten("var")
def _var(a: Assembly, p: Arguments) -> Value:
    correction = float(p["correction"]) if p.get("correction") is not None else float(p.get("unbiased", True))
    return wo.variance(a, p["self"], axes_of(p.get("dim")), keep=bool(p.get("keepdim")), correction=correction)


@aten("std")
def _std(a: Assembly, p: Arguments) -> Value:
    return ew.activation(a, _var(a, p), "sqrt")


@aten("amax")
def _amax(a: Assembly, p: Arguments) -> Value:
    return wo.largest(a, p["self"], axes_of(p.get("dim")), keep=bool(p.get("keepdim")))


@aten("amin")
def _amin(a: Assembly, p: Arguments) -> Value:
    return ew.negative(a, _amax(a, {**p, "self": ew.negative(a, p["self"])}))


@aten("max")
def _max(a: Assembly, p: Arguments) -> Any:
    if "other" in p:
        return ew.maximum(a, p["self"], p["other"])
    return (_amax(a, p), None)


@aten("min")
def _min(a: Assembly, p: Arguments) -> Any:
    if "other" in p:
        return ew.minimum(a, p["self"], p["other"])
    return (_amin(a, p), None)


@aten("linalg_vector_norm", "norm")
def _norm(a: Assembly, p: Arguments) -> Value:
    order = p.get("ord", p.get("p"))
    return wo.normalise_length(
        a, p["self"], 2.0 if order is None else float(order), axes_of(p.get("dim")), keep=bool(p["keepdim"])
    )


@aten("softmax", "_softmax")
def _softmax(a: Assembly, p: Arguments) -> Value:
    return wo.softmax(a, p["self"], int(p["dim"]))


@aten("log_softmax", "_log_softmax")
def _log_softmax(a: Assembly, p: Arguments) -> Value:
    return wo.log_softmax(a, p["self"], int(p["dim"]))


@aten("logsumexp")
def _logsumexp(a: Assembly, p: Arguments) -> Value:
    return wo.log_sum_exp(a, p["self"], axes_of(p["dim"]), keep=bool(p["keepdim"]))


@aten("glu")
def _glu(a: Assembly, p: Arguments) -> Value:
    return wo.gated(a, p["self"], int(p["dim"]))
