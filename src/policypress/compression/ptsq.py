"""``ptsq``: post-training static quantization as published (Lu et al. 2024, section 2.1).

ONNX Runtime's ``quantize_static`` in its plain form: QDQ, int8 weights and activations per tensor, min-max
calibration on the policy's own rollouts. ``weights=fp32`` quantizes activations only (see ``ptdq``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from policypress.compression import activation_quantizers
from policypress.compression.calibration import ranges
from policypress.compression.onnx_runtime_quantizers import feeds, outside_network, through_files
from policypress.compression.step import Context
from policypress.compression.weights import PlainQuantizer
from policypress.policy.policy import Policy


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, batches: Iterator[dict[str, Any]]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, Any] | None:
        return next(self._batches, None)


@dataclass(frozen=True)
class Ptsq(PlainQuantizer):
    """Static int8 by ONNX Runtime; ``weights=fp32`` quantizes activations only."""

    name: ClassVar[str] = "ptsq"
    version: ClassVar[int] = 1

    def lower(self, model: onnx.ModelProto, policy: Policy, context: Context) -> onnx.ModelProto:
        """The statically quantized model."""
        excluded = outside_network(model, policy)
        if self.weights == "fp32":
            return activation_quantizers.static(policy, ranges(policy, context.calibration))

        def quantizer(source: Path, target: Path) -> None:
            quantize_static(
                source,
                target,
                _Reader(feeds(model, context.calibration)),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                nodes_to_exclude=excluded,
            )

        return through_files(model, quantizer)
