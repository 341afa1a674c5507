"""Acting with ONNX Runtime: one thread, buffers bound once, nothing but numpy and onnxruntime."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from policypress.contract import METADATA_KEY, Contract, Discrete, TensorSpec
from policypress.errors import ArtifactError, ObservationError

Array = npt.NDArray[Any]
# One array, or arrays by key; whatever numpy makes an array of will do (lists, a number for Discrete).
Observation = Any
_ELEMENT_TYPES = {
    "float32": "tensor(float)",
    "uint8": "tensor(uint8)",
    "int8": "tensor(int8)",
    "int32": "tensor(int32)",
    "int64": "tensor(int64)",
}


def session_options() -> ort.SessionOptions:
    """One thread, errors only, no arena growth: what a policy of some kilobytes needs."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False
    return options


class OnnxRuntime:
    """A policy artifact under ONNX Runtime.

    Args:
        model: path of the artifact, or its bytes.

    Raises:
        ArtifactError: the file is not an ONNX model, or carries no contract.
    """

    name = "onnxruntime"

    def __init__(self, model: Path | bytes) -> None:
        source = model if isinstance(model, bytes) else str(model)
        label = "bytes" if isinstance(model, bytes) else str(model)
        try:
            # Without the fallback, which prints to stdout and tries the same again.
            self._session = ort.InferenceSession(
                source, session_options(), providers=["CPUExecutionProvider"], enable_fallback=0
            )
            text = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        except Exception as error:  # onnxruntime raises its own untyped hierarchy
            raise ArtifactError(
                "ONNX Runtime cannot load the file.",
                got=f"{label}: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
                expected="an ONNX artifact written by `policypress export` or `compress`",
            ) from error
        self.contract = _contract(text, label)
        _check_graph(self.contract, self._session, label)
        self._outputs = {spec.name: spec for spec in self.contract.outputs}
        self._bind()

    def _bind(self) -> None:
        """Buffers for one observation and its outputs, shared with the session."""
        self._buffers = {spec.name: np.zeros((1, *spec.shape), dtype=spec.dtype) for spec in self.contract.inputs}
        self._results = {spec.name: np.zeros((1, *spec.shape), dtype=spec.dtype) for spec in self.contract.outputs}
        self._finite = {name: np.ones(a.shape, np.bool_) for name, a in self._buffers.items() if a.dtype == np.float32}
        self._binding = self._session.io_binding()
        # The OrtValues view the numpy buffers, so they must live as long as the binding.
        self._values = {n: ort.OrtValue.ortvalue_from_numpy(a) for n, a in {**self._buffers, **self._results}.items()}
        for name in self._buffers:
            self._binding.bind_ortvalue_input(name, self._values[name])
        for name in self._results:
            self._binding.bind_ortvalue_output(name, self._values[name])
        self._single = next(iter(self._buffers.values())) if len(self._buffers) == 1 else None
        self._integer_action = isinstance(self.contract.action_space, Discrete)

    def act(self, observation: Observation) -> Any:
        """Action for one observation (no batch axis); an ``int`` for Discrete, else an array.

        Raises:
            ObservationError: wrong keys, wrong shape, or a value that is not finite.
        """
        self._fill(observation)
        self._session.run_with_iobinding(self._binding)
        action = self._results["action"][0]
        return int(action) if self._integer_action else action.copy()

    def _fill(self, observation: Observation) -> None:
        if self._single is not None and not isinstance(observation, Mapping):
            self._assign(self._single, self.contract.inputs[0], observation)
            return
        for spec in self.contract.inputs:
            self._assign(self._buffers[spec.name], spec, _part(observation, spec, self.contract.inputs))

    def _assign(self, buffer: Array, spec: TensorSpec, values: Any) -> None:
        array = _array(values, spec)
        if array.shape != spec.shape:
            raise _wrong_shape(spec, array.shape, spec.shape)
        try:
            buffer[0] = array
        except RuntimeWarning as error:  # beyond float32, where the caller made warnings errors
            raise _not_finite(spec) from error
        except (TypeError, ValueError) as error:
            raise _no_numbers(spec, array) from error
        finite = self._finite.get(spec.name)
        if finite is None:
            if array.dtype != buffer.dtype and not (buffer[0] == array).all():
                raise _no_numbers(spec, array)
        elif b"\0" in np.isfinite(buffer, out=finite).tobytes():  # half the time of .all()
            raise _not_finite(spec)

    def act_batch(self, observations: Observation) -> Array:
        """Actions for a batch of observations, batch axis first."""
        return self.run_batch(observations)["action"]

    def run_batch(self, observations: Observation) -> dict[str, Array]:
        """Every output by name (``action``, and ``scores`` where actions are discrete) for a batch.

        Raises:
            ObservationError: wrong keys, wrong shape, or a value that is not finite.
        """
        feeds = {
            spec.name: _batch(_part(observations, spec, self.contract.inputs), spec) for spec in self.contract.inputs
        }
        if len({len(array) for array in feeds.values()}) > 1:
            raise ObservationError(
                "The observation's keys have different numbers of rows.",
                got=", ".join(f"{name}: {len(array)}" for name, array in feeds.items()),
                expected="the batch along the first axis of every key",
            )
        names = list(self._outputs)
        length = len(next(iter(feeds.values())))
        if self.contract.batch_independent or length <= 1:
            return dict(zip(names, self._session.run(names, feeds), strict=True))
        rows = ({name: array[i : i + 1] for name, array in feeds.items()} for i in range(length))
        results = [self._session.run(names, row) for row in rows]
        return {name: np.concatenate(parts) for name, parts in zip(names, zip(*results, strict=True), strict=True)}

    def predict(
        self,
        observation: Observation,
        state: None = None,
        episode_start: Array | None = None,
        deterministic: bool = True,
    ) -> tuple[Array, None]:
        """Stable-Baselines3's signature: one observation or a batch in, actions and no state out.

        An artifact is deterministic; ``deterministic=False`` is accepted and changes nothing.
        """
        spec = self.contract.inputs[0]
        first = _array(_part(observation, spec, self.contract.inputs), spec)
        if first.shape == spec.shape:
            return np.asarray(self.act(observation)), None
        return self.act_batch(observation), None


def _contract(text: str | None, label: str) -> Contract:
    if text is None:
        raise ArtifactError(
            "The ONNX file carries no policypress contract.",
            got=label,
            expected=f"metadata_props[{METADATA_KEY!r}]",
            hint="Turn the file into an artifact first: `policypress export FILE -o artifact.onnx`.",
        )
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise ArtifactError("The artifact's contract is not JSON.", got=f"{label}: {text[:60]!r}", expected="an object")
    return Contract.from_json(data)


def _check_graph(contract: Contract, session: ort.InferenceSession, label: str) -> None:
    """Refuse a contract that was written for another graph."""
    for kind, promised, found in (
        ("inputs", contract.inputs, session.get_inputs()),
        ("outputs", contract.outputs, session.get_outputs()),
    ):
        here = {value.name: (value.type, list(value.shape[1:])) for value in found}
        said = {spec.name: (_ELEMENT_TYPES.get(spec.dtype), list(spec.shape)) for spec in promised}
        if here != said:
            raise ArtifactError(
                f"The artifact's contract does not fit its graph's {kind}.",
                got=f"{label}: {here}",
                expected=str(said),
                hint="Write the artifact again with `policypress export`.",
            )


def _array(values: Any, spec: TensorSpec) -> Array:
    try:
        return np.asarray(values)
    except ValueError as error:  # nested lists of different lengths
        raise ObservationError(f"{spec.name} is no array.", got=str(error), expected=f"shape {spec.shape}") from error


def _batch(values: Any, spec: TensorSpec) -> Array:
    """``values`` as a contiguous batch in the dtype of ``spec``."""
    given = _array(values, spec)
    if given.ndim == 0 or given.shape[1:] != spec.shape:
        raise _wrong_shape(spec, given.shape, ("batch", *spec.shape))
    try:
        with np.errstate(all="ignore"):
            array = np.ascontiguousarray(given, dtype=spec.dtype)
    except (TypeError, ValueError) as error:
        raise _no_numbers(spec, given) from error
    if array.dtype == np.float32:
        if not np.isfinite(array).all():
            raise _not_finite(spec)
    elif array.dtype != given.dtype and not (array == given).all():
        raise _no_numbers(spec, given)
    return array


def _part(observation: Observation, spec: TensorSpec, inputs: tuple[TensorSpec, ...]) -> Any:
    if not isinstance(observation, Mapping):
        if len(inputs) > 1:
            raise ObservationError(
                "The policy reads a dict of observations.",
                got=type(observation).__name__,
                expected="keys " + ", ".join(_key(s) for s in inputs),
            )
        return observation
    if _key(spec) not in observation:
        raise ObservationError(
            "The observation's keys are not the policy's.",
            got=", ".join(sorted(map(str, observation))),
            expected=", ".join(_key(s) for s in inputs),
        )
    return observation[_key(spec)]


def _key(spec: TensorSpec) -> str:
    return spec.name.partition(".")[2]


def _wrong_shape(spec: TensorSpec, got: tuple[int, ...], expected: tuple[Any, ...]) -> ObservationError:
    return ObservationError(f"{spec.name} has the wrong shape.", got=str(got), expected=str(expected))


def _not_finite(spec: TensorSpec) -> ObservationError:
    return ObservationError(
        f"{spec.name} is not finite.", got="NaN or infinity", expected="finite numbers within float32"
    )


def _no_numbers(spec: TensorSpec, array: Array) -> ObservationError:
    return ObservationError(
        f"{spec.name} does not hold {spec.dtype} numbers.",
        got=f"dtype {array.dtype}, first {array.reshape(-1)[:1].tolist()}",
        expected=f"numbers that {spec.dtype} can hold",
    )
