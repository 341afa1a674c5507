"""Every method by its name in recipes. Adding a method is one new file and one line here."""

from __future__ import annotations

from policypress.compression.distill import Distill
from policypress.compression.equalize import Equalize
from policypress.compression.gptq import Gptq
from policypress.compression.int8 import Int8
from policypress.compression.prune import Prune
from policypress.compression.ptdq import Ptdq
from policypress.compression.ptsq import Ptsq
from policypress.compression.qat import Qat
from policypress.compression.refit import Refit
from policypress.compression.rtn import Rtn
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
