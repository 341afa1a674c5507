"""Flags that leave x86 kernels out of generated C: those which this processor lacks, or all but the plain ones."""

from __future__ import annotations

from policypress_runtime.runtimes.native import processor
from policypress_runtime.toolchain.processor import features_here

FEATURES = features_here()
# Where the features are not known, all are compiled, and the C asks the processor.
RUN_HERE = tuple(name for name, needs in processor._NEEDS.items() if not FEATURES or needs <= FEATURES)
ONLY_HERE = tuple(f"-DPP_WITHOUT_{name}" for name in processor._NEEDS if name not in RUN_HERE)
# One kernel set of five compiles in a fraction of the time; clang's and gcc's header of intrinsics takes half of it.
PLAIN_ALONE = tuple(f"-DPP_WITHOUT_{name}" for name in processor._NEEDS)
