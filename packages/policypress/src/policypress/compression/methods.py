"""Every method of compression: adding one is a new file and one line here.

Light, so that reports and completion can read it: a method's class, a :class:`~policypress.compression.step.Step`, is
imported when a recipe names it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

_PARAMETER = re.compile(r"\{(\w+)\}")
Kind = Literal["smaller", "quantizing", "conditioning"]


@dataclass(frozen=True)
class Method:
    """Where a method is, and what readers of a report are told of it.

    Args:
        where: ``module:Class`` below ``policypress.compression``.
        kind: what it does to a network: fewer units (``smaller``), fewer bits (``quantizing``), or neither
            (``conditioning``: it prepares for the others).
        words: what a step of it does; ``{bits}`` stands for its parameter of that name.
    """

    where: str
    kind: Kind
    words: str

    def of(self, step: Mapping[str, Any]) -> str:
        """What this step does, in words; ``step`` has its parameters by name."""
        given = {"activations": 8, **step}
        return _PARAMETER.sub(lambda found: str(given.get(found[1], found[0])), self.words)


METHODS: dict[str, Method] = {
    "prune": Method("pruning.prune:Prune", "smaller", "removes channels"),
    "refit": Method("refit:Refit", "conditioning", "recomputes what reads the channels that are left"),
    "distill": Method("distillation.distill:Distill", "smaller", "trained to act like the fp32 agent"),
    "equalize": Method(
        "quantization.equalize:Equalize", "conditioning", "balances channels so that one scale suits them all"
    ),
    "int8": Method("quantization.int8:Int8", "quantizing", "int8 weights per channel, int8 activations, float output"),
    "qat": Method("quantization.qat:Qat", "quantizing", "the ranges that quantization-aware training learned"),
    "gptq": Method(
        "quantization.gptq:Gptq",
        "quantizing",
        "{bits}-bit weights rounded so that errors make up for each other; {activations}-bit activations, float output",
    ),
    "rtn": Method(
        "quantization.rtn:Rtn",
        "quantizing",
        "{bits}-bit weights rounded to nearest; {activations}-bit activations, float output",
    ),
    "ptdq": Method(
        "quantization.ptdq:Ptdq",
        "quantizing",
        "int8 weights; activations are quantized on the fly (ONNX Runtime's plain dynamic quantizer)",
    ),
    "ptsq": Method(
        "quantization.ptsq:Ptsq",
        "quantizing",
        "int8 weights and activations, calibrated beforehand (ONNX Runtime's plain static quantizer)",
    ),
}

CRITERIA: dict[str, str] = {
    "l1": "with the smallest L1 norm",
    "l2": "with the smallest L2 norm",
    "activation": "that vary least, times the norm of what reads them",
    "obs": "that what reads them can best do without",
}
"""The criteria of ``prune`` and which channels each removes; ``pruning/prune.py`` has the function of each."""
