"""Loading an artifact with the best runtime that this machine has."""

from __future__ import annotations

from pathlib import Path

from policypress.errors import ArtifactError
from policypress.runtime.onnx_runtime import OnnxRuntime


def load_artifact(path: str | Path) -> OnnxRuntime:
    """The policy in the artifact ``path``, ready to act.

    Needs numpy and onnxruntime only.

    Raises:
        ArtifactError: the file does not exist, is not ONNX, or carries no contract.
    """
    file = Path(path)
    if not file.is_file():
        raise ArtifactError(
            "There is no artifact here.",
            got=str(path),
            expected="an .onnx file written by `policypress export` or `policypress compress`",
        )
    return OnnxRuntime(file)
