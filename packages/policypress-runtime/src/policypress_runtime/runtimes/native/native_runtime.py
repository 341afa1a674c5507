"""Acting by generated C: what ONNX Runtime does, in a fraction of its time."""

from __future__ import annotations

import functools
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from policypress_runtime.contract import Contract, Discrete
from policypress_runtime.errors import NativeBuildError, ObservationError
from policypress_runtime.runtimes.memory import States, check_rows, parted, parted_rows, rows_of
from policypress_runtime.runtimes.native.build import MODULE, built_module
from policypress_runtime.runtimes.observation import Array, Observation, batches_of, fill, key_of, part_of
from policypress_runtime.runtimes.onnx_metadata import content_of
from policypress_runtime.runtimes.protocol import Runtime
from policypress_runtime.toolchain.cache import Cache

NOT_FINITE = 2


class NativeRuntime(Runtime):
    """A policy artifact as machine code, built once and kept in a cache.

    Args:
        model: path of the artifact, or its bytes.
        cache: where built modules are kept; by default the user's cache folder.

    Raises:
        ArtifactError: the file is no artifact.
        NativeBuildError: there is no compiler, or no C can be generated for the artifact.
    """

    name = "native"
    notices: tuple[str, ...] = ()

    def __init__(self, model: Path | bytes, cache: Cache | None = None) -> None:
        label = "bytes" if isinstance(model, bytes) else str(model)
        kept = Cache() if cache is None else cache
        self._open(*built_module(content_of(model), label, kept))
        if kept.notice is not None:
            self.notices = (kept.notice,)

    @classmethod
    def from_module(cls, path: Path, contract: Contract) -> NativeRuntime:
        """The runtime of a module that was built elsewhere; the file's name is the module's.

        Raises:
            NativeBuildError: it cannot be loaded here.
        """
        runtime = cls.__new__(cls)
        runtime._open(path, contract)
        return runtime

    def _open(self, path: Path, contract: Contract) -> None:
        self.contract = contract
        self._module = _loaded(path)
        outputs = {spec.name: spec for spec in self.contract.outputs}
        action = outputs["action"]
        self._results = tuple(outputs[name] for name in ("scores", "action") if name in outputs)
        self._call = self._module.run_batch if "scores" in outputs else self._module.act_batch
        self._integer_action = isinstance(self.contract.action_space, Discrete)
        make = functools.partial(np.empty, action.shape, np.dtype(action.dtype))
        self._module.bind(make, self._act_checked)
        # The C function itself: a Python frame in between costs as much as a small policy. Whoever is given it alone
        # finds whose memory it is by its module.
        self.__dict__["act"] = self._module.act
        vars(self._module)["runtime"] = self

    def act(self, observation: Observation) -> Any:
        """Action for one observation (no batch axis); an ``int`` for Discrete, else an array.

        A policy with memory remembers the observation until :meth:`reset`. One object is for one episode at a time.

        Raises:
            ObservationError: wrong keys, wrong shape, or a value that is not finite; the memory is as it was.
        """
        return self._module.act(observation)

    def reset(self) -> None:
        """Begin an episode: the state is what it is at the start."""
        if self.contract.state:
            self._module.reset()

    @property
    def state(self) -> States:
        """What :meth:`act` remembers, by name and without a batch axis."""
        if not self.contract.state:
            return {}
        after = parted_rows(self._memory(), self.contract.state)
        return {spec.name: after[spec.next_name][0] for spec in self.contract.state}

    def _memory(self) -> Array:
        """The module's own state, as a batch of one."""
        return np.frombuffer(self._module.state(), np.float32)[None].copy()

    def _act_checked(self, observation: Observation) -> Any:
        """The long way, for what the C function does not take as it is: lists, strides, other dtypes, mistakes."""
        feeds = self._feeds(observation)
        rows = self._memory() if self.contract.state else None
        action = self._run(feeds, 1, rows)["action"][0]
        if rows is not None:
            self._module.set_state(rows)
        return int(action) if self._integer_action else action

    def _feeds(self, observation: Observation) -> list[Array]:
        """One observation as batches of one in the dtypes of the contract.

        Raises:
            ObservationError: it does not fit, or is not finite.
        """
        feeds = []
        for spec in self.contract.inputs:
            buffer = np.empty((1, *spec.shape), spec.dtype)
            fill(buffer, spec, part_of(observation, spec, self.contract.inputs))
            feeds.append(buffer)
        return feeds

    def act_into(self, observation: Observation, action: Any) -> bool:
        """Write the action for one observation into ``action``, without an array in between.

        Args:
            observation: best an array in the dtype of the contract, which is read where it lies.
            action: an array of the action's shape and dtype, or another writable buffer of as many elements
                (for Discrete: one integer).

        Returns:
            Whether a value of the observation was clipped.

        Raises:
            ObservationError: the observation or ``action`` does not fit; ``action`` is as it was.
        """
        try:
            return bool(self._module.act_into(observation, action))
        except (ValueError, TypeError, BufferError):
            self._feeds(observation)
            if self.contract.state and not np.isfinite(self._memory()).all():
                raise self._not_finite() from None
            action_of = next(spec for spec in self.contract.outputs if spec.name == "action")
            try:
                # Checked and in the dtype of the contract, so that whatever is wrong now is wrong with the buffer.
                return bool(self._module.act_into(self._as_read(observation), action))
            except (ValueError, TypeError, BufferError) as error:
                raise ObservationError(
                    "The action does not fit the output buffer.",
                    got=f"{getattr(action, 'dtype', type(action).__name__)} of shape {np.shape(action)}",
                    expected=f"{action_of.dtype} of shape {action_of.shape}, writable and contiguous",
                ) from error

    def _as_read(self, observation: Observation) -> Any:
        """One observation as arrays in the dtypes of the contract."""
        inputs = self.contract.inputs
        arrays = {key_of(s): np.ascontiguousarray(part_of(observation, s, inputs), s.dtype) for s in inputs}
        return arrays.get("", arrays)

    def act_batch(self, observations: Observation) -> Array:
        """Actions for a batch of observations, batch axis first; the interpreter lock is released meanwhile."""
        return self.run_batch(observations)["action"]

    def run_batch(self, observations: Observation) -> dict[str, Array]:
        """Every output by name (``action``, and ``scores`` where actions are discrete) for a batch.

        Of a policy with memory ``observations`` holds the states by name as well, and the next ones come out too.

        Raises:
            ObservationError: wrong keys, wrong shape, or a value that is not finite.
        """
        if not self.contract.state:
            feeds = batches_of(observations, self.contract.inputs)
            return self._run(list(feeds.values()), len(next(iter(feeds.values()))), None)
        observations, states = parted(observations, self.contract)
        feeds = batches_of(observations, self.contract.inputs)
        count = check_rows({**feeds, **states})
        rows = rows_of(states, self.contract.state, count)
        return {**self._run(list(feeds.values()), count, rows), **parted_rows(rows, self.contract.state)}

    def _run(self, feeds: list[Array], count: int, states: Array | None) -> dict[str, Array]:
        """Outputs of ``count`` rows; ``states`` are read, and written over with the next ones."""
        results = {spec.name: np.empty((count, *spec.shape), spec.dtype) for spec in self._results}
        status = self._call(*feeds, *(() if states is None else (states,)), *results.values())
        if status & NOT_FINITE:
            raise self._not_finite()
        return results

    def _not_finite(self) -> ObservationError:
        if not self.contract.state:
            return ObservationError("The observation is not finite.", got="NaN or infinity", expected="finite numbers")
        return ObservationError(
            "The observation or the memory is not finite.",
            got="NaN or infinity",
            expected="finite numbers",
            hint="reset() begins an episode anew.",
        )

    @property
    def saturated(self) -> int:
        """Calls so far in which a value of the observation was clipped on its way in; a batch is one call."""
        return int(self._module.saturated())

    @property
    def kernel(self) -> str:
        """Name of the kernels that this processor was given, e.g. ``avx512vnni``."""
        return str(self._module.kernel())


def _loaded(path: Path) -> ModuleType:
    """A module object of its own, with its own state, from the file ``path``."""
    # In the cache a file's name begins with its key; the module in it always has the same name.
    name = path.stem if path.stem.isidentifier() else MODULE
    spec = spec_from_file_location(name, path, loader=ExtensionFileLoader(name, str(path)))
    try:
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} is no extension module")
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    except ImportError as error:
        raise NativeBuildError("The built module cannot be loaded.", got=str(error)) from error
    return module
