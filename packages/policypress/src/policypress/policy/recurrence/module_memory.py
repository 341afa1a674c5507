"""The memory of a ``torch.nn.Module``: what ``forward`` takes and gives beside the observation and the action."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from policypress.policy.importers.assembly import SAMPLE_BATCH, Assembly, Refused, Value
from policypress.policy.recurrence.moved import Moved, moved, settled
from policypress_runtime.contract import StateSpec
from policypress_runtime.errors import NetworkError

Arrays = dict[str, npt.NDArray[np.generic]]
_FORM = "forward(observation, h, c) -> action, h, c; or forward(observation, (h, c)) -> action, (h, c)"


@dataclass(frozen=True)
class ModuleMemory:
    """How a module is given its states.

    Args:
        specs: of the states, batch first.
        axes: where the module has the batch of each.
        nested: they are one argument, a tuple.
    """

    specs: tuple[StateSpec, ...] = ()
    axes: tuple[int, ...] = ()
    nested: bool = False

    def arguments(self, states: Sequence[Tensor]) -> tuple[Any, ...]:
        """States, batch first, as the arguments behind the observation."""
        given = tuple(state.movedim(0, axis) for state, axis in zip(states, self.axes, strict=True))
        return (given,) if self.nested else given

    def initial(self, rows: int) -> tuple[Any, ...]:
        """The arguments at the start of ``rows`` episodes."""
        return self.arguments([torch.from_numpy(spec.start(rows)) for spec in self.specs])

    def parted(self, given: Arrays) -> tuple[Arrays, tuple[Any, ...]]:
        """Observation and states by name, as the observation alone and the arguments behind it."""
        names = [spec.name for spec in self.specs]
        rest = {key: values for key, values in given.items() if key not in names}
        return rest, self.arguments([torch.from_numpy(np.ascontiguousarray(given[name])) for name in names])

    def bound(self, assembly: Assembly) -> list[Value | Moved]:
        """The states as the network reads them."""
        return [settled(Moved(assembly.state(spec), axis)) for spec, axis in zip(self.specs, self.axes, strict=True)]

    def following(self, values: Sequence[Any]) -> list[tuple[StateSpec, Value]]:
        """Each state with its next value.

        Raises:
            Refused: one does not depend on the observation, or has its batch elsewhere than before.
        """
        found = []
        for spec, axis, value in zip(self.specs, self.axes, values, strict=True):
            x = moved(value)
            if x.axis != axis:
                raise Refused(
                    f"the batch of the state {spec.name} is axis {axis} before the step and {x.axis} after it"
                )
            found.append((spec, x.value))
        return found

    def after(self, states: Sequence[Tensor]) -> Arrays:
        """Next states as the module gives them, by the names of the states, batch first."""
        return {
            spec.name: state.detach().movedim(axis, 0).contiguous().numpy()
            for spec, axis, state in zip(self.specs, self.axes, states, strict=True)
        }

    def adapted(self, module: nn.Module) -> nn.Module:
        """The module with all of its states as one argument, in whatever form it takes them; itself without any."""
        return _Adapted(module, self.nested) if self.specs else module

    def flat(self, rows: int) -> tuple[Any, ...]:
        """What the adapted module takes behind the observation, at the start of ``rows`` episodes."""
        return (tuple(_flat(self.initial(rows))),) if self.specs else ()

    def dynamic(self) -> tuple[Any, ...]:
        """For ``torch.export``: which axis of each of these is free."""
        return (tuple({axis: torch.export.Dim.AUTO} for axis in self.axes),) if self.specs else ()


class _Adapted(nn.Module):
    def __init__(self, module: nn.Module, nested: bool) -> None:
        super().__init__()
        self.module, self._nested = module, nested
        self.training = module.training

    def forward(self, observation: Any, states: tuple[Tensor, ...]) -> Any:
        """What the module gives."""
        return self.module(observation, states) if self._nested else self.module(observation, *states)


def memory_of_module(
    forward: Callable[..., Any], observation: Any, state: Mapping[str, Any], first: Callable[[Any], Any]
) -> ModuleMemory:
    """Where the batch of each state is and how they are given, found by running the module.

    Args:
        forward: the module; raises NetworkError where it fails.
        observation: a batch of ``SAMPLE_BATCH``.
        state: values at the start of one episode, by name.
        first: which of its outputs is the action.

    Raises:
        NetworkError: it takes none of the forms that are known.
    """
    if not state:
        return ModuleMemory()
    arrays = {str(name): np.asarray(value, np.float32) for name, value in state.items()}
    error: NetworkError | None = None
    for memory in _ways(arrays):
        try:
            after = next_states(forward(observation, *memory.initial(SAMPLE_BATCH)), first, len(arrays))
        except NetworkError as failed:
            error = error or failed
            continue
        expected = [value.shape for value in _flat(memory.initial(SAMPLE_BATCH))]
        if [value.shape for value in after] == expected:
            return memory
    if error is not None and "returns" not in error.message:
        raise error
    raise NetworkError(
        "The module does not take and give its state as states are.",
        got=", ".join(f"{name} of shape {values.shape}" for name, values in arrays.items()),
        expected=_FORM,
        hint="Every next state has the shape of the state, with the batch in the same place.",
    ) from error


def _ways(arrays: Mapping[str, npt.NDArray[np.float32]]) -> Iterator[ModuleMemory]:
    """Ways to give the states: the batch behind the layers or first, apart or as one tuple."""
    for behind, nested in itertools.product((True, False), (False, True)):
        axes = tuple(1 if behind and values.ndim == 3 else 0 for values in arrays.values())
        if any(
            values.ndim <= axis or values.shape[axis] != 1 for values, axis in zip(arrays.values(), axes, strict=True)
        ):
            continue
        specs = []
        for (name, values), axis in zip(arrays.items(), axes, strict=True):
            one = np.take(values, 0, axis)
            initial = tuple(float(v) for v in one.reshape(-1)) if one.any() else ()
            specs.append(StateSpec(name, f"{name.removesuffix('_in')}_out", one.shape, initial))
        yield ModuleMemory(tuple(specs), axes, nested)


def next_states(output: Any, first: Callable[[Any], Any], count: int) -> list[Tensor]:
    """What a module returns beside its action.

    Raises:
        NetworkError: other than ``count`` tensors.
    """
    action = first(output)
    rest = [leaf for leaf in torch.utils._pytree.tree_leaves(output) if leaf is not action]
    if len(rest) != count or not all(isinstance(leaf, Tensor) for leaf in rest):
        raise NetworkError(
            "The module returns something else than the action and its next states.",
            got=f"{len(rest)} values beside the action",
            expected=f"{count}: {_FORM}",
        )
    return rest


def _flat(arguments: tuple[Any, ...]) -> list[Tensor]:
    return list(torch.utils._pytree.tree_leaves(arguments))
