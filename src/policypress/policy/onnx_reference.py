"""onnx's reference evaluator, with old batch normalisation at inference."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

Array = npt.NDArray[np.float32]
# From this opset on the node itself says whether it trains; the evaluator takes older ones to be training.
FIRST_WITH_TRAINING_MODE = 14


class BatchNormalization(OpRun):
    """Batch normalisation with the statistics it was given."""

    op_domain = ""

    def _run(
        self, x: Array, scale: Array, bias: Array, mean: Array, var: Array, epsilon: Any = 1e-5, **_: Any
    ) -> tuple[Array]:
        shape = (-1, *[1] * (x.ndim - 2))
        scale, bias, mean, var = (values.reshape(shape) for values in (scale, bias, mean, var))
        result: Array = scale * (x - mean) / np.sqrt(var + epsilon) + bias
        return (result.astype(x.dtype),)


def evaluator(model: onnx.ModelProto) -> ReferenceEvaluator:
    """Evaluator of ``model`` as it acts after training."""
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    return ReferenceEvaluator(model, new_ops=[BatchNormalization] if opset < FIRST_WITH_TRAINING_MODE else [])
