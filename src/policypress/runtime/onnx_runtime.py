"""Acting with ONNX Runtime: one thread, buffers bound once, nothing but numpy and onnxruntime."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from policypress.contract import METADATA_KEY, Contract, Discrete, TensorSpec
from policypress.errors import ArtifactError, ObservationError

Array = npt.NDArray[Any]
Observation = Array | Mapping[str, Array]


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
            self._session = ort.InferenceSession(source, session_options(), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises its own untyped hierarchy
            raise ArtifactError(
                "ONNX Runtime cannot load the file.",
                got=f"{label}: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
                expected="an ONNX artifact written by `policypress export` or `compress`",
            ) from error
        text = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            raise ArtifactError(
                "The ONNX file carries no policypress contract.",
                got=label,
                expected=f"metadata_props[{METADATA_KEY!r}]",
                hint="Turn the file into an artifact first: `policypress export FILE -o artifact.onnx`.",
            )
        self.contract = Contract.from_json(json.loads(text))
        self._outputs = {spec.name: spec for spec in self.contract.outputs}
        self._bind()

    def _bind(self) -> None:
        """Buffers for one observation and its outputs, shared with the session."""
        self._buffers = {spec.name: np.zeros((1, *spec.shape), dtype=spec.dtype) for spec in self.contract.inputs}
        self._results = {spec.name: np.zeros((1, *spec.shape), dtype=spec.dtype) for spec in self.contract.outputs}
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

    @staticmethod
    def _assign(buffer: Array, spec: TensorSpec, values: Array) -> None:
        array = np.asarray(values)
        if array.shape != spec.shape:
            raise _wrong_shape(spec, array.shape, spec.shape)
        buffer[0] = array
        # A finite sum proves finite values; an infinite one may be overflow, so look closer only then.
        if buffer.dtype == np.float32 and not math.isfinite(buffer.sum()) and not np.isfinite(buffer).all():
            raise _not_finite(spec)

    def act_batch(self, observations: Observation) -> Array:
        """Actions for a batch of observations, batch axis first."""
        return self.run_batch(observations)["action"]

    def run_batch(self, observations: Observation) -> dict[str, Array]:
        """Every output by name (``action``, and ``scores`` where actions are discrete) for a batch.

        Raises:
            ObservationError: wrong keys, wrong shape, or a value that is not finite.
        """
        feeds: dict[str, Array] = {}
        for spec in self.contract.inputs:
            array = np.ascontiguousarray(_part(observations, spec, self.contract.inputs), dtype=spec.dtype)
            if array.shape[1:] != spec.shape or array.ndim == 0:
                raise _wrong_shape(spec, array.shape, ("batch", *spec.shape))
            if array.dtype == np.float32 and not np.isfinite(array).all():
                raise _not_finite(spec)
            feeds[spec.name] = array
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
        first = np.asarray(_part(observation, spec, self.contract.inputs))
        if first.shape == spec.shape:
            return np.asarray(self.act(observation)), None
        return self.act_batch(observation), None


def _part(observation: Observation, spec: TensorSpec, inputs: tuple[TensorSpec, ...]) -> Array:
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
