"""A policy as a LiteRT (TensorFlow Lite) file, run under LiteRT before it is written.

It is for one observation, with shapes that are fixed, as LiteRT for Microcontrollers and Coral's compiler want it. The
contract stands in the JSON beside it: a LiteRT file has no place for it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from policypress.export.goldens import taken
from policypress.export.parity import Observations, ParityReport, check_outputs
from policypress.export.publish import ProvenArtifact
from policypress_runtime.atomic_write import write_all_atomic
from policypress_runtime.runtimes.litert_runtime import LiteRtRuntime
from policypress_runtime.runtimes.memory import refuse_memory
from policypress_runtime.sidecar import check_replaceable, sidecar_name, sidecar_of
from policypress_runtime.tflite.writer import to_tflite

SUFFIX = ".tflite"
# Observations that the file is run on: one at a time, as it will be.
_ROWS = 256


def publish_tflite(artifact: ProvenArtifact, observations: Observations, output: Path) -> ParityReport:
    """Convert the artifact, prove the file under LiteRT, and write it with its contract beside it.

    Args:
        artifact: what it is made from.
        observations: to prove it on.
        output: ``NAME.tflite``.

    Raises:
        NetworkError: a policy with memory, or an operator that has no LiteRT form.
        MissingDependencyError: LiteRT is not installed.
        ParityError: the file would not do what the policy does; nothing is written.
    """
    refuse_memory(artifact.contract, "LiteRT", "Write an ONNX file: -o NAME.onnx.")
    check_replaceable(output)
    content = to_tflite(artifact.model, static=True)
    runtime = LiteRtRuntime(artifact.model, content)
    rows = np.unique(np.linspace(0, _count(observations) - 1, _ROWS).astype(np.int64))
    chosen = taken(observations, rows)
    single = [runtime.run_batch(taken(observations, rows[i : i + 1])) for i in range(len(rows))]
    outputs = {name: np.concatenate([part[name] for part in single]) for name in single[0]}
    report = check_outputs(artifact.policy, artifact.model, artifact.contract, outputs, chosen)
    beside = sidecar_of(artifact.contract, hashlib.sha256(content).hexdigest())
    write_all_atomic({output: content, output.with_name(sidecar_name(output.name)): beside})
    return report


def _count(observations: Observations) -> int:
    return len(next(iter(observations.values())) if isinstance(observations, dict) else observations)
