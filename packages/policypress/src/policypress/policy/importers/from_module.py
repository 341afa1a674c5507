"""From any feed-forward ``torch.nn.Module`` to a :class:`Policy`.

``torch.export`` traces the module's ``forward``; the graph it gives is translated operator by operator, and
the result is compared with the module before it is handed out.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from policypress.agents.bundle import Normaliser
from policypress.policy import layers
from policypress.policy.importers.action_scale import scaled, scaling
from policypress.policy.importers.assembly import SAMPLE_BATCH, Assembly, Refused, Value
from policypress.policy.importers.check_pairs import check_pairs
from policypress.policy.importers.live_sb3 import Live, arranged, is_live, live, predicted, transposed_keys
from policypress.policy.policy import SINGLE_KEY, Origin, Policy
from policypress.policy.precision import with_precision_told
from policypress.policy.recurrence.module_memory import ModuleMemory, memory_of_module, next_states
from policypress.policy.self_check import Arrays, check_same, normalised, sample_observations
from policypress.policy.traced.graph import HINT, Translation, first_of
from policypress_runtime.contract import Box, DictSpace, Discrete, MultiBinary, MultiDiscrete, Space
from policypress_runtime.errors import NetworkError


def from_module(
    module: Any,
    observation_space: Any = None,
    action_space: Any = None,
    normaliser: Normaliser | Mapping[str, Normaliser] | None = None,
    scale_actions: bool = False,
    *,
    state: Mapping[str, Any] | None = None,
    check: str | Path | None = None,
) -> Policy:
    """Policy around a module, or around a live model of Stable-Baselines3.

    Nothing of a module but ``forward`` is called; it is run in eval mode on the CPU and left as it was.

    Args:
        module: a model of Stable-Baselines3 or sb3-contrib, its ``policy``, ``actor`` or ``q_net``: what ``predict``
            answers, through their own code, with the statistics of the model's ``VecNormalize``. Or any module whose
            ``forward`` takes the observation as ``torch.as_tensor`` would give it, batch first: float32 for a
            float Box, uint8 for images, int64 for Discrete and MultiDiscrete, int8 for MultiBinary, a dict of these
            for a Dict space. It returns, batch first: for a Box the action in the environment's own units (any
            squashing and scaling is the module's; the finite bounds of the space are applied on top, as
            Stable-Baselines3's ``predict`` does); for Discrete the scores ``(batch, n)``; for MultiDiscrete the
            scores of all choices side by side; for MultiBinary logits. Indices from an ``argmax``, or bits from
            ``logits > 0``, are understood too. Of several outputs the first counts, which a notice says; with memory
            (``state``), the first is the action and the others are the next states.
        observation_space: a gymnasium space, or the contract's form of one; a live model has its own.
        action_space: likewise.
        normaliser: statistics applied to the observation before the module, for all of it or by key.
        scale_actions: the module gives -1 to 1, which is scaled to the action bounds. Where a module ends in tanh, the
            bounds are others and this is not said, a notice of the policy's ``origin`` says so.
        state: of a module with memory, what ``forward`` takes beside the observation, by name, in its order:
            ``forward(observation, h, c) -> action, h, c``, or ``forward(observation, (h, c)) -> action, (h, c)``. Each
            is the value at the start of one episode, with a batch axis of length 1, which is the second of three axes
            (as ``torch.nn.LSTM`` has it) or the first: ``{"h_in": torch.zeros(1, 1, 64)}``. A state ``h_in`` is
            followed by ``h_out`` in artifacts. Layers are LSTM, GRU and RNN in one direction, of one step, and cells.
        check: ``.npz`` of observations and actions that the policy must give
            (:mod:`policypress.policy.importers.check_pairs`).

    Returns:
        A policy whose action equals the module's within 1e-5·(1 + |a|). Its scores may differ from the module's
        by a closing softmax, which does not change the choice.

    Raises:
        NetworkError: an operator without a layer (the message names it and its place), control flow that depends
            on the observation, a module with state or chance, or an output that does not fit the action space.
        UnsupportedAgentError: rounding the observations to float32 before the normaliser moves the actions visibly.
    """
    statistics = {SINGLE_KEY: normaliser} if isinstance(normaliser, Normaliser) else dict(normaliser or {})
    if is_live(module):
        if scale_actions:
            raise NetworkError("A live model scales its actions itself.", got="scale_actions=True", expected="False")
        if state:
            raise NetworkError("A live model has its state itself.", got="state=...", expected="no state")
        policy = _from_live(live(module), observation_space, action_space, statistics)
    elif observation_space is None or action_space is None:
        raise NetworkError(
            "A module does not state its observation and action spaces.",
            got=f"{type(module).__name__} without both spaces",
            expected="Policy.from_module(module, observation_space, action_space)",
        )
    else:
        spaces = _contract_space(observation_space), _contract_space(action_space)
        policy = _translated(module, *spaces, statistics, scale_actions, state or {})
    return policy if check is None else check_pairs(policy, check)


def _from_live(parts: Live, observation_space: Any, action_space: Any, normaliser: Mapping[str, Normaliser]) -> Policy:
    network = parts.module.network
    own = _contract_space(network.observation_space)
    stated = observation_space is not None
    seen = _contract_space(observation_space if stated else parts.observation_space)
    parts.module.turned = transposed_keys(own, seen)
    actions = _contract_space(parts.action_space if action_space is None else action_space)
    statistics = arranged(normaliser or parts.normaliser, seen)
    # Stable-Baselines3 counts choices from 0 whatever the space's start.
    counted = Discrete(actions.n) if isinstance(actions, Discrete) else actions
    policy = _translated(parts.module, seen, counted, statistics)
    with _evaluating(parts.module):
        check_same(policy, lambda given: predicted(parts.predict, given), statistics)
    policy.action_space = actions
    notices = ("The statistics of normaliser= are used.",) if normaliser else parts.notices
    policy.origin = Origin(algorithm=parts.algorithm, notices=notices)
    return policy


def _translated(
    module: nn.Module,
    observations: Space,
    actions: Space,
    statistics: Mapping[str, Normaliser],
    scale_actions: bool = False,
    state: Mapping[str, Any] = MappingProxyType({}),
) -> Policy:
    module = _checked(module)
    assembly = Assembly(observations)
    inputs = normalise_inputs(assembly, statistics)
    with _evaluating(module), torch.no_grad():
        arrays = normalised(sample_observations(observations, SAMPLE_BATCH, statistics), statistics)
        sample = _argument(arrays)
        memory = memory_of_module(lambda *given: _called(module, *given), sample, state, first_of)
        _run(module, sample, *memory.initial(SAMPLE_BATCH))
        exported = _export(memory.adapted(module), sample, memory)
        translation = Translation(assembly, exported)
        result, after = translation.run([*inputs.values(), *memory.bound(assembly)], len(memory.specs))
        result, told = scaled(assembly, result, actions, scale_actions)
        told = (*told, *translation.notices)
        try:
            carried = memory.following(after)
            policy = assembly.finish(result, actions, Origin(notices=told), states=carried)
        except Refused as refusal:
            raise NetworkError(
                "The network does not fit the action space.", got=str(refusal), expected=repr(actions)
            ) from refusal

        def step(given: Arrays) -> tuple[Any, ...]:
            rest, behind = memory.parted(given)
            return (_argument(rest), *behind)

        def following(given: Arrays) -> Arrays:
            return memory.after(next_states(_called(module, *step(given)), first_of, len(memory.specs)))

        network = scaling(lambda given: _run(module, *step(given)), actions, scale_actions)
        check_same(policy, network, statistics, following if memory.specs else None)
    return with_precision_told(policy, statistics)


def normalise_inputs(assembly: Assembly, normaliser: Mapping[str, Normaliser]) -> dict[str, Value]:
    """The assembly's inputs by key, through the normaliser where there is one.

    Raises:
        NetworkError: statistics for a key, a kind of space or a shape that is not the observation's.
    """
    space = assembly.observation_space
    parts = dict(space.spaces) if isinstance(space, DictSpace) else {SINGLE_KEY: space}
    inputs = dict(assembly.inputs)
    for key, n in normaliser.items():
        part = parts.get(key)
        if not isinstance(part, Box) or n.mean.shape != part.shape:
            raise NetworkError(
                "The normaliser's statistics do not fit the observation.",
                got=f"statistics of shape {n.mean.shape} for {key!r}",
                expected="; ".join(f"{key!r}: {getattr(p, 'shape', p)}" for key, p in parts.items()),
            )
        value = inputs[key]
        value = assembly.add("to_float", layers.ToFloat(), value) if value.integer else value
        inputs[key] = assembly.add("normalise", layers.Normalise(n.mean, n.variance, n.epsilon, n.clip), value)
    return inputs


def _contract_space(space: Any) -> Space:
    if isinstance(space, Box | Discrete | MultiDiscrete | MultiBinary | DictSpace):
        return space
    from policypress.environments.spaces import from_gymnasium

    return from_gymnasium(space)


def _checked(module: nn.Module) -> nn.Module:
    if isinstance(module, torch.jit.ScriptModule):
        raise NetworkError(
            "A TorchScript module cannot be traced again.",
            got=type(module).__name__,
            expected="the torch.nn.Module it was made from",
            hint="Give the original module; or save it, module.save('policy.pt'), and give that file.",
        )
    if not isinstance(module, nn.Module):
        raise NetworkError("This is not a network.", got=type(module).__name__, expected="a torch.nn.Module")
    original = getattr(module, "_orig_mod", module)  # torch.compile wraps the module it was given
    module = original if isinstance(original, nn.Module) else module
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.device.type != "cpu":
            raise NetworkError(
                "The module is not on the CPU.", got=f"{name} on {tensor.device}", expected="cpu", hint="module.cpu()"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise NetworkError("The module holds numbers that are not finite.", got=name, expected="finite weights")
    return module


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode by setting the flags, so that no method of the module is called; put back at the end."""
    parts = list(nn.Module.modules(module))
    before = [part.training for part in parts]
    for part in parts:
        part.training = False
    try:
        yield
    finally:
        for part, training in zip(parts, before, strict=True):
            part.training = training


def _argument(arrays: Arrays) -> Tensor | dict[str, Tensor]:
    tensors = {key: torch.from_numpy(np.ascontiguousarray(values)) for key, values in arrays.items()}
    return tensors[SINGLE_KEY] if tensors.keys() == {SINGLE_KEY} else tensors


def _called(module: nn.Module, *arguments: Any) -> Any:
    # User code: whatever it raises is about the module, not about us.
    try:
        with torch.no_grad():
            return module(*arguments)
    except Exception as error:
        raise NetworkError(
            "The module fails on an observation of this space.",
            got=f"{type(error).__name__}: {error}",
            expected="forward(observation batch)",
            hint="Check the observation space, and that forward takes one tensor (or one dict) with the batch first.",
        ) from error


def _run(module: nn.Module, *arguments: Any) -> npt.NDArray[np.generic]:
    output = first_of(_called(module, *arguments))
    if not isinstance(output, Tensor):
        raise NetworkError("The module returns no tensor.", got=type(output).__name__, expected="a tensor, batch first")
    result: npt.NDArray[np.generic] = output.detach().numpy()
    return result.astype(np.int8) if result.dtype == np.bool_ else result


def _export(
    module: nn.Module, sample: Tensor | dict[str, Tensor], memory: ModuleMemory
) -> torch.export.ExportedProgram:
    free = {0: torch.export.Dim.AUTO}
    shapes = (free if isinstance(sample, Tensor) else dict.fromkeys(sample, free), *memory.dynamic())
    arguments = (sample, *memory.flat(SAMPLE_BATCH))
    with warnings.catch_warnings(), _quiet():
        # Of torch's own making, about its own pytree code: nothing the user could change.
        warnings.filterwarnings("ignore", category=FutureWarning, message=r".*isinstance\(treespec, LeafSpec\)")
        # A module may keep a tensor for its owner to look at; one that reads it back fails the comparison.
        warnings.filterwarnings("ignore", category=UserWarning, message=r"The tensor attributes? self\.")
        try:
            program = torch.export.export(module, arguments, dynamic_shapes=shapes, strict=False)
            functional: torch.export.ExportedProgram = program.run_decompositions({})
            return functional
        except Exception as error:
            # torch.export has no common error class; all of them are about the module.
            lines = str(error).strip().splitlines() or [""]
            raise NetworkError(
                "The module cannot be traced: control flow that depends on the observation, or state.",
                got=f"{type(error).__name__}: {lines[0]}",
                expected="a feed-forward module that torch.export can trace",
                hint=HINT,
            ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what torch prints about a module it cannot trace out of the user's terminal: the error says it."""
    logger = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
