"""ONNX operators that weigh and combine elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from policypress.policy.importers import elementwise as ew
from policypress.policy.importers import weighted_operations as wo
from policypress.policy.importers.assembly import Assembly, Refused, Value
from policypress.policy.importers.onnx.registry import Operation, onnx_operator, scalar


@onnx_operator("Gemm")
def _gemm(a: Assembly, o: Operation) -> Value:
    if o.attributes.get("transA", 0):
        raise Refused("its first operand is transposed: the batch must stay the first axis")
    weight = o.constant(1) if o.attributes.get("transB", 0) else o.constant(1).T
    weight = weight * o.number("alpha", 1.0)
    beta, bias = o.number("beta", 1.0), o.operand(2)
    if isinstance(bias, Value):
        offset = bias if beta == 1.0 else ew.affine(a, bias, scalar(beta))
        return ew.add(a, wo.linear(a, o.x, weight), offset)
    row = None if bias is None else ew.constant_row(bias, o.x) * beta
    if row is not None and row.numel() == 1:
        row = row.reshape(1).expand(weight.shape[0])
    return wo.linear(a, o.x, weight, row)


@onnx_operator("MatMul")
def _matmul(a: Assembly, o: Operation) -> Value:
    return wo.matmul(a, *o.operands)


@onnx_operator("Einsum")
def _einsum(a: Assembly, o: Operation) -> Value:
    return wo.einsum(a, o.text("equation", ""), o.operands)


def _window(
    o: Operation, sizes: tuple[int, ...], kernel: list[int]
) -> tuple[list[int], list[int], list[int], list[int]]:
    """Stride, dilation, and padding before and after, of a convolution or a pooling over ``sizes``."""
    axes = len(kernel)
    stride = o.integers("strides") or [1] * axes
    dilation = o.integers("dilations") or [1] * axes
    pads = o.integers("pads") or [0] * (2 * axes)
    before, after = pads[:axes], pads[axes:]
    auto = o.text("auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        windows = zip(sizes, kernel, stride, dilation, strict=True)
        totals = [max(0, (-(-size // s) - 1) * s + d * (k - 1) + 1 - size) for size, k, s, d in windows]
        smaller, larger = [t // 2 for t in totals], [t - t // 2 for t in totals]
        before, after = (smaller, larger) if auto == "SAME_UPPER" else (larger, smaller)
    return stride, dilation, before, after


@onnx_operator("Conv")
def _conv(a: Assembly, o: Operation) -> Value:
    weight = o.constant(1)
    stride, dilation, before, after = _window(o, o.x.shape[1:], list(weight.shape[2:]))
    return wo.conv(
        a,
        o.x,
        weight,
        o.optional(2),
        stride=stride,
        padding=(before, after),
        dilation=dilation,
        groups=o.integer("group", 1),
    )


@onnx_operator("MaxPool", "AveragePool")
def _pool(a: Assembly, o: Operation) -> Any:
    kernel = o.integers("kernel_shape") or []
    stride, dilation, before, after = _window(o, o.x.shape[1:], kernel)
    if set(dilation) != {1}:
        raise Refused("pooling with dilation")
    value = wo.pool(
        a,
        o.x,
        "max" if o.kind == "MaxPool" else "average",
        kernel,
        stride=stride,
        padding=(before, after),
        ceil=bool(o.attributes.get("ceil_mode", 0)),
        count_padding=bool(o.attributes.get("count_include_pad", 0)),
    )
    return (value, None)


@onnx_operator("GlobalAveragePool")
def _global_average(a: Assembly, o: Operation) -> Value:
    return wo.mean(a, o.x, range(2, o.x.sample.dim()), keep=True)


@onnx_operator("GlobalMaxPool")
def _global_max(a: Assembly, o: Operation) -> Value:
    return wo.largest(a, o.x, range(2, o.x.sample.dim()), keep=True)


@onnx_operator("BatchNormalization")
def _batch_norm(a: Assembly, o: Operation) -> Any:
    if o.attributes.get("training_mode", 0):
        raise Refused("it uses the statistics of the batch; every observation must be treated alone")
    scale, bias, mean, variance = (o.constant(i) for i in range(1, 5))
    value = wo.batch_norm(a, o.x, scale, bias, mean, variance, o.number("epsilon", 1e-5))
    return (value, *[None] * (o.outputs - 1))


@onnx_operator("LayerNormalization")
def _layer_norm(a: Assembly, o: Operation) -> Any:
    axis = o.integer("axis", -1) % o.x.sample.dim()
    shape = o.x.shape[axis - 1 :]
    if axis == 0:
        raise Refused("it works along the batch; every observation must be treated alone")
    bias = o.optional(2)
    value = wo.layer_norm(
        a,
        o.x,
        shape,
        o.constant(1).expand(shape),
        None if bias is None else bias.expand(shape),
        o.number("epsilon", 1e-5),
    )
    return (value, *[None] * (o.outputs - 1))


@onnx_operator("RMSNormalization")
def _rms_norm(a: Assembly, o: Operation) -> Value:
    axis = o.integer("axis", -1) % o.x.sample.dim()
    return wo.rms_norm(a, o.x, o.x.sample.dim() - axis, o.constant(1), o.number("epsilon", 1e-5))


@onnx_operator("InstanceNormalization")
def _instance_norm(a: Assembly, o: Operation) -> Value:
    return wo.group_norm(a, o.x, o.x.shape[0], o.constant(1), o.constant(2), o.number("epsilon", 1e-5))


@onnx_operator("GroupNormalization")
def _group_norm(a: Assembly, o: Operation) -> Value:
    groups, channels = o.integer("num_groups", 1), o.x.shape[0]
    # Until opset 20 there is one scale per group.
    scale, bias = (p.repeat_interleave(channels // p.numel()) for p in (o.constant(1), o.constant(2)))
    return wo.group_norm(a, o.x, groups, scale, bias, o.number("epsilon", 1e-5))


@onnx_operator("LpNormalization")
def _lp_norm(a: Assembly, o: Operation) -> Value:
    axis = o.integer("axis", -1)
    return ew.divide(a, o.x, wo.normalise_length(a, o.x, o.number("p", 2.0), [axis], keep=True))


def _mean(a: Assembly, x: Value, axes: list[int], keep: bool) -> Value:
    return wo.mean(a, x, axes, keep=keep)


def _total(a: Assembly, x: Value, axes: list[int], keep: bool) -> Value:
    return wo.total(a, x, axes, keep=keep)


def _largest(a: Assembly, x: Value, axes: list[int], keep: bool) -> Value:
    return wo.largest(a, x, axes, keep=keep)


def _smallest(a: Assembly, x: Value, axes: list[int], keep: bool) -> Value:
    return ew.negative(a, wo.largest(a, ew.negative(a, x), axes, keep=keep))


def _squares(a: Assembly, x: Value, axes: list[int], keep: bool) -> Value:
    return wo.total(a, ew.power(a, x, 2.0), axes, keep=keep)


def _length(order: float) -> Callable[[Assembly, Value, list[int], bool], Value]:
    return lambda a, x, axes, keep: wo.normalise_length(a, x, order, axes, keep=keep)


def _log_sum_exp(a: Assembly, x: Value, axes: list[int], keep: bool) -> Value:
    return wo.log_sum_exp(a, x, axes, keep=keep)


def _log_sum(a: Assembly, x: Value, axes: list[int], keep: bool) -> Value:
    return ew.activation(a, wo.total(a, x, axes, keep=keep), "log")


REDUCTIONS: dict[str, Callable[[Assembly, Value, list[int], bool], Value]] = {
    "ReduceMean": _mean,
    "ReduceSum": _total,
    "ReduceMax": _largest,
    "ReduceMin": _smallest,
    "ReduceSumSquare": _squares,
    "ReduceL1": _length(1.0),
    "ReduceL2": _length(2.0),
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceLogSum": _log_sum,
}


@onnx_operator(*REDUCTIONS)
def _reduce(a: Assembly, o: Operation) -> Value:
    axes = o.integers("axes", 1)
    if not axes:
        if o.attributes.get("noop_with_empty_axes", 0):
            return o.x
        raise Refused("it works along the batch; every observation must be treated alone")
    return REDUCTIONS[o.kind](a, o.x, axes, bool(o.attributes.get("keepdims", 1)))


@onnx_operator("Softmax", "LogSoftmax")
def _softmax(a: Assembly, o: Operation) -> Value:
    axis = o.integer("axis", -1 if o.opset >= 13 else 1)
    if o.opset < 13 and axis % o.x.sample.dim() != len(o.x.shape):
        raise Refused("a softmax over several axes")
    return wo.softmax(a, o.x, axis) if o.kind == "Softmax" else wo.log_softmax(a, o.x, axis)


@onnx_operator("OneHot")
def _one_hot(a: Assembly, o: Operation) -> Value:
    off, on = o.constant(2).tolist()
    if (off, on) != (0, 1) or o.integer("axis", -1) not in (-1, o.x.sample.dim()):
        raise Refused("other values than 0 and 1 along the last axis")
    return wo.one_hot(a, o.x, int(o.constant(1)))


def gather_rows(a: Assembly, table: Tensor, index: Value) -> Value:
    """Rows of a constant table by an integer of the observation."""
    if table.dim() != 2:
        raise Refused("a table that has not two axes")
    return wo.embedding(a, table.to(torch.float32), index)
