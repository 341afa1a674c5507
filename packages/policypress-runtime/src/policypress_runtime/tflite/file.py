"""Writing a LiteRT (TensorFlow Lite) file: tensors, operators and the buffers of constants.

The format: https://github.com/google-ai-edge/LiteRT, tflite/schema/schema.fbs; its classes come with ai-edge-litert.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from policypress_runtime.errors import MissingDependencyError

Array = npt.NDArray[Any]
_SCHEMA_VERSION = 3
# Versions of operators that know signed integers; of all others the first will do.
_VERSIONS = {"FULLY_CONNECTED": 4, "CONV_2D": 3, "DEQUANTIZE": 2, "PAD": 2, "QUANTIZE": 2, "TRANSPOSE": 2}
# Old readers know a field for the operator that ends here.
_OLD_LIMIT = 127


def schema() -> Any:
    """The classes of the file format.

    Raises:
        MissingDependencyError: ai-edge-litert is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise MissingDependencyError(
            "LiteRT is not installed.", got=str(error), hint="pip install 'policypress[litert]'"
        ) from error
    return schema_py_generated


class LiteRtFile:
    """A file in the making, with one graph.

    Args:
        static: tensors are for one observation; else their first axis is free.

    Raises:
        MissingDependencyError: ai-edge-litert is not installed.
    """

    def __init__(self, static: bool = False) -> None:
        self._static = static
        self.format = schema()
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self._codes: dict[str, int] = {}
        self._buffers: list[Any] = [self.format.BufferT()]

    def content(self, inputs: list[int], outputs: list[int]) -> bytes:
        """The whole file, with these tensors as the graph's inputs and outputs."""
        import flatbuffers

        graph = self.format.SubGraphT()
        graph.inputs, graph.outputs = inputs, outputs
        graph.tensors, graph.operators = self.tensors, self.operators
        model = self.format.ModelT()
        model.version, model.subgraphs, model.buffers = _SCHEMA_VERSION, [graph], self._buffers
        model.operatorCodes = [self._code(kind) for kind in self._codes]
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def _code(self, kind: str) -> Any:
        code = self.format.OperatorCodeT()
        code.builtinCode = getattr(self.format.BuiltinOperator, kind)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, _OLD_LIMIT), _VERSIONS.get(kind, 1)
        return code

    def tensor(self, name: str, dtype: str, shape: tuple[int, ...]) -> int:
        """Index of a new tensor with a batch axis in front of ``shape``."""
        return self._tensor(name, dtype, (1, *shape), None if self._static else [-1, *shape])

    def constant(self, values: Array, name: str = "constant") -> int:
        """Index of a new constant tensor."""
        array = np.ascontiguousarray(values).reshape(np.shape(values))
        index = self._tensor(f"{name}_{len(self.tensors)}", str(array.dtype), array.shape, None)
        buffer = self.format.BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        self._buffers.append(buffer)
        self.tensors[index].buffer = len(self._buffers) - 1
        return index

    def _tensor(self, name: str, dtype: str, shape: tuple[int, ...], signature: list[int] | None) -> int:
        tensor = self.format.TensorT()
        tensor.name, tensor.type = name, getattr(self.format.TensorType, dtype.upper())
        tensor.shape, tensor.shapeSignature, tensor.buffer = list(shape), signature, 0
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def quantize(self, index: int, scale: Array, zero: Array) -> None:
        """State scales and zero points of a tensor: one, or one for each index of the first axis."""
        parameters = self.format.QuantizationParametersT()
        parameters.scale = np.asarray(scale, np.float32).reshape(-1).tolist()
        parameters.zeroPoint = np.asarray(zero, np.int64).reshape(-1).tolist()
        parameters.quantizedDimension = 0
        self.tensors[index].quantization = parameters

    def emit(self, kind: str, inputs: list[int], outputs: list[int], options: str = "", **fields: Any) -> None:
        """Add an operator; ``options`` is the name of its options in the format, and ``fields`` what they say."""
        operator = self.format.OperatorT()
        operator.opcodeIndex = self._codes.setdefault(kind, len(self._codes))
        operator.inputs, operator.outputs = inputs, outputs
        if options:
            operator.builtinOptionsType = getattr(self.format.BuiltinOptions, options)
            operator.builtinOptions = getattr(self.format, f"{options}T")()
            for field, value in fields.items():
                setattr(operator.builtinOptions, field, value)
        self.operators.append(operator)
