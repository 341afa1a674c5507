"""Acting with LiteRT (TensorFlow Lite), to compare with. Extra ``litert``.

The artifact is converted first, in a process of its own, because that needs the onnx package.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from policypress_runtime.errors import ArtifactError, MissingDependencyError, NoNativeFormError
from policypress_runtime.runtimes.checked_runtime import CheckedRuntime
from policypress_runtime.runtimes.native.build import contract_of
from policypress_runtime.runtimes.observation import Array
from policypress_runtime.toolchain.child_python import python_command, python_environment

_LIMIT_S = 120.0
_CONVERT = "from policypress_runtime.tflite.writer import main; sys.exit(main(sys.argv[1:]))"


class LiteRtRuntime(CheckedRuntime):
    """A policy artifact under LiteRT, on one thread, with its XNNPACK kernels.

    Args:
        model: path of the artifact (ONNX), or its bytes.
        file: the LiteRT file of it, if it has been written.

    Raises:
        MissingDependencyError: LiteRT is not installed.
        NoNativeFormError: the network is none of those that can be converted.
        ArtifactError: the file is no artifact.
    """

    name = "litert"

    def __init__(self, model: Path | bytes, file: bytes | None = None) -> None:
        interpreter = _interpreter()
        label = "bytes" if isinstance(model, bytes) else str(model)
        content = model if isinstance(model, bytes) else model.read_bytes()
        super().__init__(contract_of(content, label))
        self.model = converted(content) if file is None else file
        self._engine = interpreter(model_content=self.model, num_threads=1)
        self._rows = 0
        self._names = [spec.name for spec in self.contract.outputs]
        self._specs = {spec.name: spec for spec in self.contract.outputs}
        self._fit(1)

    def _fit(self, rows: int) -> None:
        """Make room for ``rows`` observations."""
        self._rows = rows
        for detail in self._engine.get_input_details():
            self._engine.resize_tensor_input(detail["index"], [rows, *detail["shape"][1:]])
        self._engine.allocate_tensors()
        self._inputs = {item["name"]: item["index"] for item in self._engine.get_input_details()}
        self._outputs = {item["name"]: item["index"] for item in self._engine.get_output_details()}
        if set(self._outputs) != set(self._names):
            raise ArtifactError(
                "LiteRT uses other output names.", got=str(sorted(self._outputs)), expected=str(self._names)
            )

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        rows = len(next(iter(feeds.values())))
        if rows != self._rows:
            self._fit(rows)
        for name, values in feeds.items():
            self._engine.set_tensor(self._inputs[name], values)
        self._engine.invoke()
        return {
            name: np.asarray(self._engine.get_tensor(index), self._specs[name].dtype).reshape(
                -1, *self._specs[name].shape
            )
            for name, index in self._outputs.items()
        }


def converted(content: bytes) -> bytes:
    """The artifact as a LiteRT file.

    Raises:
        NoNativeFormError: the network is none of those that can be converted.
    """
    with tempfile.TemporaryDirectory(prefix="policypress-") as folder:
        source, target = Path(folder) / "policy.onnx", Path(folder) / "policy.tflite"
        source.write_bytes(content)
        done = subprocess.run(
            python_command(_CONVERT, [str(source), "-o", str(target)]),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT_S,
            check=False,
            env=python_environment(),
        )
        if done.returncode != 0 or not target.is_file():
            raise NoNativeFormError(
                "There is no LiteRT form of this artifact.", got=" ".join(done.stderr.removeprefix("error: ").split())
            )
        return target.read_bytes()


def _interpreter() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise MissingDependencyError(
            "LiteRT is not installed.", got=str(error), hint="pip install 'policypress[litert]'"
        ) from error
    return Interpreter
