"""Acting with ONNX Runtime: one thread, buffers bound once, nothing but numpy and onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from policypress_runtime.contract import METADATA_KEY, Discrete, TensorSpec
from policypress_runtime.errors import ArtifactError
from policypress_runtime.reading_limits import limited
from policypress_runtime.regular_file import check_regular
from policypress_runtime.runtimes.memory import check_rows, initial_states, parted
from policypress_runtime.runtimes.observation import Array, Observation, batches_of, fill, part_of
from policypress_runtime.runtimes.onnx_metadata import content_of, described
from policypress_runtime.runtimes.protocol import Runtime
from policypress_runtime.runtimes.stated_contract import check_graph, contract_from

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
}


# On x86 without VNNI the product of unsigned activations and signed weights saturates, and actions are wrong without
# a word; with this ONNX Runtime takes another product there. Elsewhere it changes nothing.
EXACT_PRODUCTS = ("session.x64quantprecision", "1")
# Integers are multiplied as the floats that they stand for: for files that the other way refuses.
FLOAT_PRODUCTS = ("session.disable_quant_qdq", "1")


def session_options(products: tuple[str, str] = EXACT_PRODUCTS) -> ort.SessionOptions:
    """One thread, errors only, no arena growth, exact products: what a policy of some kilobytes needs."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry(*products)
    return options


def session_of(model: str | bytes) -> ort.InferenceSession:
    """A session whose integer products are exact on every processor; errors are onnxruntime's own."""
    # Without the fallback, which prints to stdout and tries the same again.
    given: Any = {"providers": ["CPUExecutionProvider"], "enable_fallback": 0}
    options = session_options()
    options.log_severity_level = 4  # what it refuses here is tried the other way
    try:
        return ort.InferenceSession(model, options, **given)
    except Exception:
        # Weights that share a zero point or each other, as other exporters and our own older files have them.
        return ort.InferenceSession(model, session_options(FLOAT_PRODUCTS), **given)


class OnnxRuntime(Runtime):
    """A policy artifact under ONNX Runtime.

    Args:
        model: path of the artifact, or its bytes.

    Raises:
        ArtifactError: the file is not an ONNX model, or carries no contract.
    """

    name = "onnxruntime"
    notices: tuple[str, ...] = ()

    def __init__(self, model: Path | bytes) -> None:
        source = model if isinstance(model, bytes) else str(model)
        label = "bytes" if isinstance(model, bytes) else str(model)
        if not isinstance(model, bytes):
            check_regular(model, error=ArtifactError)
        try:
            with limited(label, error=ArtifactError, file_bytes=_size_of(model)):
                self._session = session_of(source)
                # Not the session's: of several contracts it would take one without a word.
                text = described(content_of(model), label).metadata.get(METADATA_KEY)
        except ArtifactError:
            raise
        except Exception as error:  # onnxruntime raises its own untyped hierarchy
            raise ArtifactError(
                "ONNX Runtime cannot load the file.",
                got=f"{label}: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
                expected="an ONNX artifact written by `policypress export` or `compress`",
            ) from error
        self.contract = contract_from(text, label)
        check_graph(self.contract, _specs(self._session.get_inputs()), _specs(self._session.get_outputs()), label)
        self._outputs = {spec.name: spec for spec in self.contract.outputs}
        self._bind()
        # Once with zeros, within limits: a graph can grow what it is given by any factor.
        with limited(label, error=ArtifactError, file_bytes=_size_of(model)):
            self._try(label)

    def _bind(self) -> None:
        """Buffers for one observation, the state and the outputs, shared with the session."""
        self._buffers = {spec.name: np.zeros((1, *spec.shape), dtype=spec.dtype) for spec in self.contract.inputs}
        self._results = {spec.name: np.zeros((1, *spec.shape), dtype=spec.dtype) for spec in self.contract.outputs}
        self._single = next(iter(self._buffers.values())) if len(self._buffers) == 1 else None
        self._finite = {name: np.ones(a.shape, np.bool_) for name, a in self._buffers.items() if a.dtype == np.float32}
        states = self.contract.state
        self._results |= {spec.next_name: np.zeros((1, *spec.shape), np.float32) for spec in states}
        self._buffers |= initial_states(states, 1)
        self._carried = [(self._buffers[spec.name], self._results[spec.next_name]) for spec in states]
        self._binding = self._session.io_binding()
        # The OrtValues view the numpy buffers, so they must live as long as the binding.
        self._values = {n: ort.OrtValue.ortvalue_from_numpy(a) for n, a in {**self._buffers, **self._results}.items()}
        for name in self._buffers:
            self._binding.bind_ortvalue_input(name, self._values[name])
        for name in self._results:
            self._binding.bind_ortvalue_output(name, self._values[name])
        self._integer_action = isinstance(self.contract.action_space, Discrete)

    def _try(self, label: str) -> None:
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:  # onnxruntime raises its own untyped hierarchy
            raise ArtifactError(
                "ONNX Runtime cannot run the file.",
                got=f"{label}: {str(error).splitlines()[0] if str(error) else type(error).__name__}"[:300],
                expected="an action for an observation of zeros",
                hint="Export the artifact again.",
            ) from error

    def act(self, observation: Observation) -> Any:
        """Action for one observation (no batch axis); an ``int`` for Discrete, else an array.

        A policy with memory remembers the observation until :meth:`reset`. One object is for one episode at a time.

        Raises:
            ObservationError: wrong keys, wrong shape, or a value that is not finite; the memory is as it was.
        """
        self._fill(observation)
        self._session.run_with_iobinding(self._binding)
        for before, after in self._carried:
            before[...] = after
        action = self._results["action"][0]
        return int(action) if self._integer_action else action.copy()

    def reset(self) -> None:
        """Begin an episode: the state is what it is at the start."""
        for spec in self.contract.state:
            self._buffers[spec.name][...] = spec.start(1)

    @property
    def state(self) -> dict[str, Array]:
        """What :meth:`act` remembers, by name and without a batch axis."""
        return {spec.name: self._buffers[spec.name][0].copy() for spec in self.contract.state}

    def _fill(self, observation: Observation) -> None:
        if self._single is not None and not isinstance(observation, Mapping):
            spec = self.contract.inputs[0]
            fill(self._single, spec, observation, self._finite.get(spec.name))
            return
        for spec in self.contract.inputs:
            values = part_of(observation, spec, self.contract.inputs)
            fill(self._buffers[spec.name], spec, values, self._finite.get(spec.name))

    def act_batch(self, observations: Observation) -> Array:
        """Actions for a batch of observations, batch axis first."""
        return self.run_batch(observations)["action"]

    def run_batch(self, observations: Observation) -> dict[str, Array]:
        """Every output by name (``action``, and ``scores`` where actions are discrete) for a batch.

        Of a policy with memory ``observations`` holds the states by name as well, and the next ones come out too.

        Raises:
            ObservationError: wrong keys, wrong shape, or a value that is not finite.
        """
        states: dict[str, Array] = {}
        if self.contract.state:
            observations, states = parted(observations, self.contract)
        feeds = {**batches_of(observations, self.contract.inputs), **states}
        length = check_rows(feeds)
        names = [*self._outputs, *(spec.next_name for spec in self.contract.state)]
        if self.contract.batch_independent or length <= 1:
            return dict(zip(names, self._session.run(names, feeds), strict=True))
        rows = ({name: array[i : i + 1] for name, array in feeds.items()} for i in range(length))
        results = [self._session.run(names, row) for row in rows]
        return {name: np.concatenate(parts) for name, parts in zip(names, zip(*results, strict=True), strict=True)}


def _size_of(model: Path | bytes) -> int:
    return len(model) if isinstance(model, bytes) else model.stat().st_size


def _specs(values: Any) -> list[TensorSpec]:
    return [TensorSpec(value.name, _DTYPES.get(value.type, value.type), tuple(value.shape[1:])) for value in values]
