"""What ``ptdq`` and ``ptsq`` share: which nodes of a model are the network, and quiet quantizers."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from policypress.compression.step import Observations
from policypress.policy.policy import Policy

NETWORK_OPERATORS = ("Gemm", "MatMul", "Conv")


def outside_network(model: onnx.ModelProto, policy: Policy) -> list[str]:
    """Names of nodes that pre- or post-process (normalise, scale, squash, clip, argmax): they stay float."""
    roles = {node.name for node in policy.nodes if getattr(policy.layers[node.name], "role", "")}
    roles |= {node.name for node in policy.nodes if "to_float" in node.name}
    return [node.name for node in model.graph.node if node.name.partition("/")[0] in roles]


def feeds(model: onnx.ModelProto, observations: Observations) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
    """Calibration feeds, up to 256 rows each, under the model's input names."""
    names = [value.name for value in model.graph.input]
    dtypes = {v.name: onnx.helper.tensor_dtype_to_np_dtype(v.type.tensor_type.elem_type) for v in model.graph.input}
    parts = (
        {name: observations[name if name in observations else name.partition(".")[2]] for name in names}
        if isinstance(observations, Mapping)
        else {names[0]: observations}
    )
    length = len(next(iter(parts.values())))
    for start in range(0, length, 256):
        yield {n: np.ascontiguousarray(a[start : start + 256], dtype=dtypes[n]) for n, a in parts.items()}


@contextmanager
def quiet() -> Iterator[None]:
    """Silence advice that ONNX Runtime's quantizers log on the root logger (pre-processing, sizes)."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(before)


def through_files(model: onnx.ModelProto, quantizer: Callable[[Path, Path], None]) -> onnx.ModelProto:
    """Run a quantizer that reads and writes files, in a folder of its own; keeps name, IR and metadata."""
    with tempfile.TemporaryDirectory(prefix="policypress-") as folder, quiet():
        source, target = Path(folder) / "float.onnx", Path(folder) / "quantized.onnx"
        onnx.save(model, source)
        quantizer(source, target)
        return onnx.load(target)
