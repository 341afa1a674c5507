"""Weights of any network, in a PyTorch or safetensors file, whose acting layers the user names: ``--layers``.

A state dict does not say what is done with its tensors. Where the user names the layers in their order, they are read
as a chain with one activation between all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policypress.agents.archive import listing
from policypress.agents.frameworks.chains import Gap, Part, layer
from policypress.agents.frameworks.found import Found, Framework
from policypress.agents.frameworks.run_config import RunConfig
from policypress.agents.frameworks.stored import Stored
from policypress.agents.overrides import Overrides
from policypress.agents.pickles.tensors import Tensor
from policypress_runtime.errors import AgentError

NAME = "state_dict"


def recognises(stored: Stored) -> bool:
    """Some mapping of tensors."""
    return bool(tensors_of(stored))


def tensors_of(stored: Stored) -> Mapping[Any, Any]:
    """The tensors by name: those of the file, or of its one mapping that has some; nested names are joined by dots."""
    top = stored.top
    if not isinstance(top, Mapping):
        return {}
    found = {str(name): value for name, value in top.items() if isinstance(value, Tensor)}
    for section, inner in top.items():
        if isinstance(inner, Mapping):
            found |= {f"{section}.{name}": value for name, value in inner.items() if isinstance(value, Tensor)}
    return found


def read(stored: Stored, config: RunConfig, overrides: Overrides) -> Found:
    """The chain of the named layers.

    Raises:
        AgentError: a name that the file does not have.
    """
    tensors = tensors_of(stored)
    names = overrides.layers or ()
    unknown = [name for name in names if f"{name}.weight" not in tensors]
    if unknown:
        layers = sorted(name.removesuffix(".weight") for name in tensors if name.endswith(".weight"))
        raise AgentError(
            f"{stored.label} has no layer {unknown[0]!r}.",
            got=f"--layers {','.join(names)}",
            expected="layers among " + listing(layers),
        )
    wanted = {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}
    chosen = {name: value for name, value in tensors.items() if name in wanted}
    arrays = stored.arrays(chosen)
    parts: list[Part] = []
    for place, name in enumerate(names):
        part = layer(arrays, name)
        # A normalisation stands before the activation of the layer that it follows.
        if place and part.weight.ndim == 2:
            parts.append(Gap.ACTIVATION)
        parts.append(part)
    return Found(
        NAME,
        "a state dict",
        tuple(parts),
        normaliser_unsaved=True,
        squash=None,
        choices=None if overrides.discrete_actions is not None else (),
        assumptions=(f"the layers {', '.join(names)} act one after the other, as stated",),
    )


FRAMEWORK = Framework(NAME, recognises, read)
