"""Activations as text: as the user states them, ``leaky_relu(0.2)``, and as a checkpoint prints their class.

What a text does not say without doubt is no activation: a parameter that is overlooked is another network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from policypress.agents.bundle import Activation
from policypress.agents.sb3.defaults import ACTIVATIONS
from policypress_runtime.errors import InputError

PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "leaky_relu": ("negative_slope",),
    "elu": ("alpha",),
    "celu": ("alpha",),
    "hardtanh": ("min_val", "max_val"),
}
"""Parameters of the activations that have some, in the order in which ``torch.nn`` takes them."""
# Not known by a class of their own in torch.nn, or by another name.
_OTHER_NAMES = {"gelu_tanh": "gelu_tanh", "swish": "silu", "linear": "identity", "none": "identity"}
_NAMES = {
    **{name.replace("_", ""): name for name in ACTIVATIONS.values()},
    **{name.replace("_", ""): meant for name, meant in _OTHER_NAMES.items()},
}
_STATED = re.compile(r"\s*(?:(?:th|torch)\.)?(?:nn\.)?(\w+)\s*(?:\(([^()]*)\))?\s*")
_WITHOUT_EFFECT = {"inplace": ("True", "False"), "approximate": ("'none'",)}


def stated_activation(text: str) -> Activation:
    """The activation that the user states by name, with parameters in brackets where it has some.

    >>> stated_activation("leaky_relu(0.2)")
    Activation(name='leaky_relu', parameters=(('negative_slope', 0.2),))

    Raises:
        InputError: not a known one, or parameters that it does not have.
    """
    match = _STATED.fullmatch(text)
    name = _NAMES.get(match.group(1).lower().replace("_", "")) if match else None
    if match is None or name is None:
        raise InputError(
            "Unknown activation.",
            got=text[:80],
            expected=", ".join(sorted({*ACTIVATIONS.values(), "gelu_tanh"}))
            + "; with parameters as in leaky_relu(0.2)",
        )
    activation = with_arguments(name, match.group(2) or "")
    if activation is None:
        known = PARAMETERS.get(name, ())
        raise InputError(
            f"The parameters of the activation {name} cannot be parsed.",
            got=text[:80],
            expected=f"{name}({', '.join(f'{key}=NUMBER' for key in known)})"
            if known
            else f"{name}, without parameters",
        )
    return activation


def in_words(activation: Activation) -> str:
    """As the user would state it.

    >>> in_words(Activation("elu", (("alpha", 0.5),)))
    'elu(alpha=0.5)'
    """
    parameters = ", ".join(f"{key}={value!r}" for key, value in activation.parameters)
    return f"{activation.name}({parameters})" if parameters else activation.name


def with_arguments(name: str, text: str) -> Activation | None:
    """Activation ``name`` with the arguments of its class in Python's notation; None where they are not understood."""
    parameters: dict[str, float] = {}
    known = PARAMETERS.get(name, ())
    for position, part in enumerate(piece.strip() for piece in text.split(",") if piece.strip()):
        key, equals, value = (side.strip() for side in part.partition("="))
        if not equals:
            key, value = (known[position] if position < len(known) else ""), key
        if (name, key, value.strip("'\"")) == ("gelu", "approximate", "tanh"):
            name = "gelu_tanh"
        elif value in _WITHOUT_EFFECT.get(key, ()) and (key != "approximate" or name == "gelu"):
            continue
        elif key in known and key not in parameters and _is_number(value):
            parameters[key] = float(value)
        # What a learned slope starts from is overwritten by the tensor.
        elif not (name == "prelu" and key in ("num_parameters", "init", "") and _is_number(value)):
            return None
    return Activation(name, tuple(sorted(parameters.items())))


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", text) is not None
