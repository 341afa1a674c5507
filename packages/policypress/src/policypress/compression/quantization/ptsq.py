"""``ptsq``: post-training static quantization as published (Lu et al. 2024, section 2.1).

ONNX Runtime's ``quantize_static`` in its plain form: QDQ, int8 weights and activations per tensor, min-max
calibration on the policy's own rollouts. ``weights=fp32`` quantizes activations only (see ``ptdq``).

The paper suspects that what is lost is lost to a shift: that the quantized policy meets other states than those that it
was calibrated on. ``calibrate`` puts that to the test. It changes nothing but the observations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from policypress import seeding
from policypress.compression.calibration import ranges, row_count
from policypress.compression.quantization import activation_quantizers
from policypress.compression.quantization.onnx_runtime_quantizers import feeds, outside_network, through_files
from policypress.compression.quantization.weights import PlainQuantizer
from policypress.compression.step import Context, Observations
from policypress.measurement.returns import actor_of
from policypress.policy.policy import Policy
from policypress.writers.onnx_writer import contract_of, embed_contract
from policypress_runtime.errors import ObservationError, RecipeError
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime

SOURCES = ("fp32", "own", "evaluation")
# Enough to fill any calibration with first observations alone.
_EPISODES = 1000


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, batches: Iterator[dict[str, Any]]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, Any] | None:
        return next(self._batches, None)


@dataclass(frozen=True)
class Ptsq(PlainQuantizer):
    """Static int8 by ONNX Runtime; ``weights=fp32`` quantizes activations only.

    ``calibrate`` says whose states ranges are taken from: ``fp32``, those that the fp32 policy met; ``own``, those that
    the quantized policy met, in other episodes; ``evaluation``, those that it met in the first episodes of the very
    evaluation. The latter two quantize twice: what acts to meet them was calibrated on the first.

    Raises:
        RecipeError: another value of ``weights`` or ``calibrate``.
    """

    name: ClassVar[str] = "ptsq"
    version: ClassVar[int] = 1
    calibrate: str = field(default="fp32", metadata={"later": True})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.calibrate not in SOURCES:
            raise RecipeError(
                "ptsq cannot be calibrated on these states.",
                got=f"calibrate={self.calibrate}",
                expected=", ".join(f"calibrate={source}" for source in SOURCES),
            )
        # An environment travels only with steps that want one.
        object.__setattr__(self, "learns", self.calibrate != SOURCES[0])

    def lower(self, model: onnx.ModelProto, policy: Policy, context: Context) -> onnx.ModelProto:
        """The statically quantized model."""
        if self.calibrate == SOURCES[0]:
            return self._quantized(model, policy, context.calibration)
        first = replace(self, calibrate=SOURCES[0])._quantized(model, policy, context.calibration)
        return self._quantized(model, policy, self._met(first, policy, context))

    def _met(self, model: onnx.ModelProto, policy: Policy, context: Context) -> Observations:
        """As many observations as were calibrated on, met by ``model``."""
        if context.rollouts is None:
            raise ObservationError(
                f"ptsq(calibrate={self.calibrate}) runs the quantized policy in an environment, and there is none.",
                got="recorded observations alone",
                expected="an environment (--env)",
                hint="ptsq is calibrated on recorded observations.",
            )
        acting = onnx.ModelProto()
        acting.CopyFrom(model)
        embed_contract(acting, contract_of(policy, self.text(), "", "int8", ""))
        seeds = seeding.episode_seeds(context.seed, seeding.EVALUATION, _EPISODES)
        return context.rollouts.visited(
            actor_of(OnnxRuntime(acting.SerializeToString())),
            count=row_count(context.calibration),
            seed=context.seed,
            purpose=f"ptsq/{self.calibrate}",
            episodes=seeds if self.calibrate == "evaluation" else None,
        )

    def _quantized(self, model: onnx.ModelProto, policy: Policy, observations: Observations) -> onnx.ModelProto:
        excluded = outside_network(model, policy)
        if self.weights == "fp32":
            return activation_quantizers.static(policy, ranges(policy, observations))

        def quantizer(source: Path, target: Path) -> None:
            quantize_static(
                source,
                target,
                _Reader(feeds(model, observations)),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                nodes_to_exclude=excluded,
            )

        return through_files(model, quantizer)
