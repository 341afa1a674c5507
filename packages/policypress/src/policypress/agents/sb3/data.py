"""The ``data`` member of a Stable-Baselines3 zip: its readable JSON fields, and nothing of its pickles.

Stable-Baselines3 writes every attribute that JSON cannot hold as ``:serialized:`` (a pickle) together with
``:type:`` and the attribute's own first-level fields as text. Only the text is used; where a class is named in
the pickle alone, its name is read from the opcodes, which executes nothing.
"""

from __future__ import annotations

import base64
import itertools
import pickletools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from policypress.agents.bundle import Activation
from policypress.agents.sb3.activation_text import with_arguments
from policypress.agents.sb3.defaults import ACTIVATIONS
from policypress_runtime.errors import DamagedAgentError, UndeterminedAgentError
from policypress_runtime.reading_limits import parsed_json

MAX_DATA_BYTES = 256 * 1024**2
MAX_PICKLE_OPCODES = 200_000
# How long the text of a class, or of a partial of one, can be.
MAX_TEXT = 2000

# How cloudpickle begins a class that it writes with its code.
_BY_VALUE = "cloudpickle.cloudpickle._make_skeleton_class"
_FUNCTION = re.compile(r"<function (\w+)\.")
_CLASS = re.compile(r"<class '([\w.]+)'>")
_PARTIAL = re.compile(r"functools\.partial\(<class '([\w.]+)'>(?:, (.*))?\)")


@dataclass(frozen=True)
class Sb3Data:
    """Readable fields of ``data``.

    ``policy_class`` is None where the file names only the policy's module; ``policy_kwargs`` is None where the
    file does not tell the policy's arguments at all.
    """

    fields: Mapping[str, Any]
    policy_module: str
    policy_class: str | None
    policy_kwargs: Mapping[str, Any] | None
    pickled_names: tuple[str, ...]

    def argument(self, name: str, default: Any) -> Any:
        """Argument ``name`` of the policy, or the class's default."""
        value = (self.policy_kwargs or {}).get(name)
        return default if value is None else value


def read_data(content: bytes, label: str) -> Sb3Data:
    """Parse the ``data`` member.

    Raises:
        DamagedAgentError: it is not a JSON object.
    """
    if len(content) > MAX_DATA_BYTES:
        raise DamagedAgentError(f"{label}: 'data' is too large.", got=f"{len(content)} bytes")
    try:
        fields = parsed_json(content, limit_bytes=MAX_DATA_BYTES)
    # Not UTF-8, not JSON, nested too deeply, too many values.
    except ValueError as error:
        raise DamagedAgentError(
            f"{label}: 'data' is not JSON.",
            got=str(error) or type(error).__name__,
            expected="the JSON that Stable-Baselines3 writes",
        ) from error
    if not isinstance(fields, dict):
        raise DamagedAgentError(f"{label}: 'data' is not a JSON object.", got=type(fields).__name__)
    module, name = _policy_class(fields.get("policy_class"))
    kwargs, names = _policy_kwargs(fields)
    return Sb3Data(fields, module, name, kwargs, names)


def _policy_class(stored: Any) -> tuple[str, str | None]:
    if isinstance(stored, str):
        return "", stored
    if not isinstance(stored, dict):
        return "", None
    module = stored.get("__module__")
    first = [stored.get("__init__"), *stored.values()]
    for text in first:
        match = _FUNCTION.match(text[:MAX_TEXT]) if isinstance(text, str) else None
        if match:
            return str(module or ""), match.group(1)
    named = globals_named_in(stored.get(":serialized:"))
    if _BY_VALUE in named:
        return str(module or ""), _name_by_value(strings_in(stored.get(":serialized:")))
    if named:
        pickled_module, _, pickled_name = named[-1].rpartition(".")
        return str(module or pickled_module), pickled_name
    return str(module or ""), None


def _name_by_value(strings: tuple[str, ...]) -> str | None:
    """Name of a class that is pickled with its code: what its metaclass is called with first."""
    after = dict(itertools.pairwise(strings))
    return next((after[kind] for kind in ("ABCMeta", "type") if kind in after), None)


def _policy_kwargs(fields: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, tuple[str, ...]]:
    stored = fields.get("policy_kwargs")
    if not isinstance(stored, dict):
        return None, ()
    names = strings_in(stored.get(":serialized:"))
    readable = {key: value for key, value in stored.items() if not key.startswith(":")}
    if ":serialized:" in stored and not readable and names:
        activations = [name for name in globals_named_in(stored[":serialized:"]) if _activation_class(name)]
        told = set(names) & {"squash_output", "clip_mean", "normalize_images", "batch_norm_eps", "with_bias"}
        if told or len(activations) > 1 or ("activation_fn" in names and not activations):
            return None, names
        return ({"activation_fn": f"<class '{activations[0]}'>"} if activations else {}), names
    return readable, names


def strings_in(serialized: Any) -> tuple[str, ...]:
    """Every string and global name in a base64 pickle, in order; nothing where it cannot be disassembled."""
    return tuple(argument for _, argument in _opcodes(serialized) if isinstance(argument, str))


def globals_named_in(serialized: Any) -> tuple[str, ...]:
    """Dotted names of the globals in a base64 pickle, in order, without importing them."""
    named: list[str] = []
    memo: dict[int, Any] = {}
    pushed: list[Any] = []
    for opcode, argument in _opcodes(serialized):
        if opcode == "GLOBAL":
            named.append(str(argument).replace(" ", "."))
        elif opcode == "STACK_GLOBAL":
            if len(pushed) > 1 and all(isinstance(part, str) for part in pushed[-2:]):
                named.append(".".join(pushed[-2:]))
        elif opcode == "MEMOIZE":
            memo[len(memo)] = pushed[-1] if pushed else None
        elif opcode.endswith("PUT"):
            memo[argument] = pushed[-1] if pushed else None
        else:
            pushed.append(memo.get(argument) if opcode.endswith("GET") else argument)
    return tuple(named)


def _opcodes(serialized: Any) -> Iterator[tuple[str, Any]]:
    """Name and argument of each operation, up to the first that is damaged."""
    try:
        operations = pickletools.genops(base64.b64decode(serialized))
    # No text, or none that is base64: there is no pickle.
    except (TypeError, ValueError):
        return
    for _ in range(MAX_PICKLE_OPCODES):
        try:
            opcode, argument, _ = next(operations)
        # A damaged pickle names nothing more; the fields beside it decide.
        except Exception:
            return
        yield opcode.name, argument


def class_name(stored: Any) -> str | None:
    """Dotted name in ``"<class 'package.Name'>"``."""
    match = _CLASS.fullmatch(stored) if isinstance(stored, str) and len(stored) <= MAX_TEXT else None
    return match.group(1) if match else None


def _activation_class(dotted: str) -> str | None:
    module, _, name = dotted.rpartition(".")
    return ACTIVATIONS.get(name) if module == "torch.nn" or module.startswith("torch.nn.") else None


def activation_from_text(stored: Any) -> Activation | None:
    """Activation named by the text of its class, or of a ``functools.partial`` of it; None if it is not told.

    >>> activation_from_text("<class 'torch.nn.modules.activation.ELU'>")
    Activation(name='elu', parameters=())
    """
    if not isinstance(stored, str) or len(stored) > MAX_TEXT:
        return None
    name = _activation_class(class_name(stored) or "")
    if name is not None:
        return Activation(name)
    match = _PARTIAL.fullmatch(stored)
    name = _activation_class(match.group(1)) if match else None
    return None if match is None or name is None else with_arguments(name, match.group(2) or "")


def undetermined_activation(got: str) -> UndeterminedAgentError:
    """The error for an activation that the file does not tell."""
    return UndeterminedAgentError(
        "The agent's file does not determine the activation of its hidden layers.",
        got=got,
        expected="the class of an activation in torch.nn: " + ", ".join(ACTIVATIONS),
        hint="State it: --activation relu (or tanh, elu, leaky_relu(0.2), ...).",
    )
