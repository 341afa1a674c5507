"""Parameters of flax: chains of ``Dense_0``, ``Dense_1``, ..., and CleanRL's models of its JAX scripts among them.

The scripts save the actor's parameters before the critics'. By the widths of their layers, activations and squashing
are those of the scripts: ReLU; the actors of DDPG and TD3 end in tanh, and are scaled to the bounds, which are not
saved. Of other networks a file says weights and no more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from policypress.agents.archive import listing
from policypress.agents.bundle import Activation, Dense
from policypress.agents.frameworks.chains import HINT, Gap, Part
from policypress.agents.frameworks.flax.flax_files import read_flax
from policypress.agents.frameworks.found import Found
from policypress.agents.overrides import Overrides
from policypress_runtime.errors import DamagedAgentError, UnsupportedAgentError

_SCRIPT = "CleanRL's own script"
_DENSE = re.compile(r"Dense_(\d{1,3})")
_DQN, _ACTOR = [120, 84], [256, 256]
UNSCALED = (
    "the actions are -1 to 1; CleanRL's JAX script scales them to bounds that are not in the file: --env ID does so"
)
# Under which the scripts save parameters beside the arguments of the training.
_WEIGHTS = "model_weights"


def read(content: bytes, label: str, overrides: Overrides) -> Found:
    """The actor of DDPG or TD3, the Q network of DQN, or a chain of which the rest is to be told.

    Raises:
        DamagedAgentError: it is truncated, or its layers do not fit.
        UnsupportedAgentError: other networks than those of the scripts for vectors, e.g. convolutions.
    """
    top = read_flax(content, label)
    held = top.get(_WEIGHTS, top) if isinstance(top, Mapping) else {}
    actor = held.get("0", held) if isinstance(held, Mapping) else {}
    parts = _chain(label, actor)
    *hidden, outputs = (int(part.weight.shape[0]) for part in parts if isinstance(part, Dense))
    if actor is held and hidden == _DQN:
        return Found("cleanrl", "CleanRL's DQN (JAX)", parts, Activation("relu"), _SCRIPT, choices=(outputs,))
    if actor is held or hidden != _ACTOR:
        form = "flax's parameters"
        return Found("flax", form, parts, normaliser_unsaved=True, squash=None, choices=None, halves=None)
    scaled = overrides.action_space is not None or overrides.action_scale is not None
    return Found(
        "cleanrl",
        "CleanRL's DDPG and TD3 (JAX)",
        parts,
        Activation("relu"),
        _SCRIPT,
        squash="tanh",
        unit_actions=True,
        assumptions=() if scaled else (UNSCALED,),
    )


def _chain(label: str, owner: Any) -> tuple[Part, ...]:
    tree = owner.get("params") if isinstance(owner, Mapping) else None
    layers = tree if isinstance(tree, Mapping) else {}
    strange = sorted(name for name in layers if not _DENSE.fullmatch(name))
    if strange or not layers:
        raise UnsupportedAgentError(
            f"{label} has the form of flax's parameters, and its network is not read.",
            got="parameters " + listing(strange or sorted(map(str, owner or ())), 6),
            expected="a chain of linear layers: params, with Dense_0, Dense_1, ...",
            hint=HINT,
        )
    parts: list[Part] = []
    for name in sorted(layers, key=lambda name: int(name.removeprefix("Dense_"))):
        kernel, bias = (_floats(layers[name], key) for key in ("kernel", "bias"))
        if kernel is None or bias is None or kernel.ndim != 2 or 0 in kernel.shape or bias.shape != kernel.shape[1:]:
            raise DamagedAgentError(
                f"The layer {name} of {label} is not as flax writes it.",
                got="no kernel and bias of finite numbers that fit each other",
                expected="a kernel (in, out) and a bias (out,)",
                hint="Copy the file again from where it was trained.",
            )
        parts += [Gap.ACTIVATION] if parts else []
        parts.append(Dense(np.ascontiguousarray(kernel.T), bias))
    return tuple(parts)


def _floats(layer: Any, key: str) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    value = layer.get(key) if isinstance(layer, Mapping) else None
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return None
    with np.errstate(over="ignore"):
        found = value.astype(np.float32)
    return found if np.isfinite(found).all() else None
