"""What every method of compression is: a frozen step with a stage, and what it may look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, ClassVar

import numpy.typing as npt
import onnx

from policypress.compression.learning import StepProgress, ignore_progress
from policypress.environments.rollout_source import RolloutSource
from policypress.policy.policy import Policy

Observations = npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]]


class Stage(IntEnum):
    """The order in which steps may stand; every recipe climbs it."""

    STRUCTURE = 0
    CONDITIONING = 1
    QUANTIZATION = 2
    LOWERING = 3


@dataclass(frozen=True)
class Context:
    """What a step may look at.

    Args:
        calibration: observations that the fp32 policy met on its own rollouts, batch first.
        seed: of the step's own random numbers.
        teacher: the fp32 policy that the recipe started from; None where a step is used by itself.
        rollouts: an environment that any policy may act in; None where there are recorded observations alone.
        recorded: all recorded observations that a step may learn from; None where there is an environment.
        on_progress: called about once a second with the progress of a step that learns.
    """

    calibration: Observations
    seed: int = 0
    teacher: Policy | None = None
    rollouts: RolloutSource | None = None
    recorded: Observations | None = None
    on_progress: Callable[[StepProgress], None] = ignore_progress


class Step:
    """One method with its parameters. Subclasses are frozen dataclasses, one per file.

    Their fields are the step's parameters, of type ``float``, ``int``, ``str`` or ``tuple[int, ...]``.
    ``name`` is how recipes call it; ``stage`` where it may stand; ``version`` goes into the key of every
    cell that uses it: raise it when the method's results change. What always matters is the stage of the step
    itself, which its parameters may decide (:meth:`_stand_at`); the class's is that of the default parameters.
    A parameter that a released method is given later has a default that does what the method did before, and
    ``metadata={"later": True}``: recipes that do not use it keep their hash.
    """

    name: ClassVar[str]
    stage: ClassVar[Stage]
    version: ClassVar[int]
    learns: ClassVar[bool] = False
    """Whether it trains on more observations than those of the calibration."""

    def _stand_at(self, stage: Stage) -> None:
        """Give this step, by its parameters, another stage than its class's; for ``__post_init__``."""
        object.__setattr__(self, "stage", stage)

    def apply(self, policy: Policy, context: Context) -> Policy:
        """A new policy; the one given stays as it is. (Structure, conditioning, quantization.)"""
        raise NotImplementedError(f"{type(self).__name__} lowers a model; it does not change a policy")

    def lower(self, model: onnx.ModelProto, policy: Policy, context: Context) -> onnx.ModelProto:
        """A new ONNX model from the one that ``policy`` was written to. (Lowering.)"""
        raise NotImplementedError(f"{type(self).__name__} changes a policy; it does not lower a model")

    def arguments(self) -> dict[str, Any]:
        """Parameters by name, in the order of the text form."""
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]

    def identity(self) -> dict[str, Any]:
        """The arguments that identify the step: all but those of later parameters at their default."""
        return {
            f.name: getattr(self, f.name)
            for f in fields(self)  # type: ignore[arg-type]
            if not f.metadata.get("later") or getattr(self, f.name) != f.default
        }

    def text(self) -> str:
        """Text form: required parameters by position, others by name where they are not the default."""
        parts: list[str] = []
        for f in fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            if f.metadata.get("positional"):
                parts.append(_format(value))
            elif value != f.default:
                parts.append(f"{f.name}={_format(value)}")
        return self.name if not parts else f"{self.name}({', '.join(parts)})"


def _format(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{','.join(map(_format, value))}]"
    # The shortest text that reads back as the same number.
    return repr(float(value)) if isinstance(value, float) else str(value)
