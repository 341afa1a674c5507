"""Every method by its name in recipes. Adding a method is one new file and one line here."""

from __future__ import annotations

from policypress.compression.distillation.distill import Distill
from policypress.compression.pruning.prune import Prune
from policypress.compression.quantization.equalize import Equalize
from policypress.compression.quantization.gptq import Gptq
from policypress.compression.quantization.int8 import Int8
from policypress.compression.quantization.ptdq import Ptdq
from policypress.compression.quantization.ptsq import Ptsq
from policypress.compression.quantization.qat import Qat
from policypress.compression.quantization.rtn import Rtn
from policypress.compression.refit import Refit
from policypress.compression.step import Step

STEPS: dict[str, type[Step]] = {
    step.name: step
    for step in (
        Prune,
        Refit,
        Distill,
        Equalize,
        Int8,
        Qat,
        Gptq,
        Rtn,
        Ptdq,
        Ptsq,
    )
}
