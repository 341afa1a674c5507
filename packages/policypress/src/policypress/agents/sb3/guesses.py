"""Other networks that the tensors of an author's own class may stand for, the likeliest first.

None of them is used unless the author's own observations and actions prove it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from policypress.agents.bundle import Activation, Sb3Network
from policypress.agents.sb3.defaults import RELU, TANH

_T = TypeVar("_T")
_COMMON = (
    RELU,
    TANH,
    *(Activation(name) for name in ("elu", "silu", "gelu", "leaky_relu", "gelu_tanh", "mish", "selu", "softplus")),
    *(Activation(name) for name in ("sigmoid", "softsign", "hardtanh", "relu6", "identity")),
    Activation("leaky_relu", (("negative_slope", 0.2),)),
    Activation("leaky_relu", (("negative_slope", 0.1),)),
)
# PyTorch's own for batch normalisation, and the two that are taken besides.
_EPSILONS = (1e-5, 1e-3, 1e-6)
_MOST = 128


def alternatives(network: Sb3Network, stated: Activation | None, *, own_cnn: bool) -> tuple[Sb3Network, ...]:
    """Networks like ``network`` with other activations, of the CNN too if that is its author's, and other epsilons.

    Args:
        network: the first guess.
        stated: the hidden activation as the user states it: no other is tried.
        own_cnn: the convolutional extractor is its author's own.
    """
    hidden = (network.activation,) if stated is not None else _unique((network.activation, *_COMMON))
    cnn = network.extractor.cnn
    kinds: tuple[Activation | None, ...] = (None if cnn is None else cnn.activation,)
    if cnn is not None and own_cnn:
        kinds = _unique((cnn.activation, *hidden[:1], *_COMMON))
    batch_norm = any(name.endswith(".running_mean") for name in network.state)
    epsilons = _unique((network.norm_epsilon, *_EPSILONS)) if batch_norm else (network.norm_epsilon,)
    found: list[Sb3Network] = []
    for activation, kind, epsilon in itertools.islice(itertools.product(hidden, kinds, epsilons), 1, _MOST):
        extractor = network.extractor
        if cnn is not None and kind is not None:
            extractor = replace(extractor, cnn=replace(cnn, activation=kind))
        found.append(replace(network, activation=activation, extractor=extractor, norm_epsilon=epsilon))
    return tuple(found)


def _unique(items: Iterable[_T]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys(items))
