"""Acting with OpenVINO, to compare with: reads the artifact's ONNX as it is. Extra ``openvino``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from policypress_runtime.errors import ArtifactError, MissingDependencyError
from policypress_runtime.runtimes.checked_runtime import CheckedRuntime
from policypress_runtime.runtimes.native.build import contract_of
from policypress_runtime.runtimes.observation import Array

# One thread, the shortest time of one request, and float32 as float32 where a processor would take bfloat16.
OPTIONS = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}


class OpenVinoRuntime(CheckedRuntime):
    """A policy artifact under OpenVINO's CPU plugin.

    Args:
        model: path of the artifact, or its bytes.

    Raises:
        MissingDependencyError: OpenVINO is not installed.
        ArtifactError: the file is no artifact, or OpenVINO cannot load it.
    """

    name = "openvino"

    def __init__(self, model: Path | bytes) -> None:
        core = _openvino().Core()
        label = "bytes" if isinstance(model, bytes) else str(model)
        content = model if isinstance(model, bytes) else model.read_bytes()
        super().__init__(contract_of(content, label))
        try:
            self._compiled = core.compile_model(core.read_model(content), "CPU", OPTIONS)
        except RuntimeError as error:
            raise ArtifactError(
                "OpenVINO cannot load the artifact.", got=f"{label}: {str(error).strip().splitlines()[-1]}"
            ) from error
        self._request = self._compiled.create_infer_request()

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        results = self._request.infer(dict(feeds), share_inputs=True)
        return {
            spec.name: np.array(results[spec.name], dtype=spec.dtype).reshape(-1, *spec.shape)
            for spec in self.contract.outputs
        }


def _openvino() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise MissingDependencyError(
            "OpenVINO is not installed.", got=str(error), hint="pip install 'policypress[openvino]'"
        ) from error
    return openvino
