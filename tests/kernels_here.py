"""Flags that leave out of generated C the x86 kernels which this processor lacks: they would never be called."""

from __future__ import annotations

from policypress_runtime.runtimes.native import processor
from policypress_runtime.toolchain.processor import features_here

FEATURES = features_here()
# Where the features are not known, all are compiled, and the C asks the processor.
RUN_HERE = tuple(name for name, needs in processor._NEEDS.items() if not FEATURES or needs <= FEATURES)
ONLY_HERE = tuple(f"-DPP_WITHOUT_{name}" for name in processor._NEEDS if name not in RUN_HERE)
