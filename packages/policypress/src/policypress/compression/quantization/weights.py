"""What the papers' two quantizers have in common: where they stand, and the parameter ``weights``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from policypress.compression.step import Stage, Step
from policypress_runtime.errors import RecipeError

FORMS = ("int8", "fp32")


@dataclass(frozen=True)
class PlainQuantizer(Step):
    """One of ONNX Runtime's own quantizers; ``weights=fp32`` quantizes activations only.

    Raises:
        RecipeError: another value of ``weights``.
    """

    stage: ClassVar[Stage] = Stage.LOWERING
    weights: str = "int8"

    def __post_init__(self) -> None:
        if self.weights not in FORMS:
            raise RecipeError(
                f"{self.name} does not support this storage.",
                got=f"weights={self.weights}",
                expected="weights=int8 or weights=fp32",
            )
