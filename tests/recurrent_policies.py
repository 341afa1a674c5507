"""Small policies with memory, of ``torch.nn``'s recurrent layers, for tests of several folders."""

from __future__ import annotations

import math

import numpy as np
from torch import nn

from policypress.compression.pipeline import CalibrationData
from policypress.environments.memory.episodes import lived_through
from policypress.environments.memory.remembering import memory_of
from policypress.measurement.evaluation import runtime_of
from policypress.measurement.returns import actor_of
from policypress.policy import layers
from policypress.policy.policy import GraphBuilder, Policy, State
from policypress.policy.recurrence.cells import Kind, Weights, stacked, state_specs
from policypress_runtime.contract import Box

INPUTS, HIDDEN = 5, 6
MODULES = {
    "lstm": lambda **k: nn.LSTM(INPUTS, HIDDEN, **k),
    "gru": lambda **k: nn.GRU(INPUTS, HIDDEN, **k),
    "rnn_tanh": lambda **k: nn.RNN(INPUTS, HIDDEN, **k),
    "rnn_relu": lambda **k: nn.RNN(INPUTS, HIDDEN, nonlinearity="relu", **k),
}


def unbounded(size: int) -> Box:
    """A space of ``size`` real numbers."""
    return Box((size,), "float32", (-math.inf,), (math.inf,))


def weights_of(module: nn.RNNBase, layer: int) -> Weights:
    """One layer's parameters."""
    found = [getattr(module, f"{part}_l{layer}", None) for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    return Weights(*(None if tensor is None else tensor.detach() for tensor in found))  # type: ignore[arg-type]


def policy_of(kind: Kind, module: nn.RNNBase) -> Policy:
    """A policy that acts by the last layer's output."""
    specs = state_specs(kind, module.num_layers, module.hidden_size)
    graph = GraphBuilder(reserved=[spec.name for spec in specs])
    found = [weights_of(module, layer) for layer in range(module.num_layers)]
    assert all(w.fits(kind, module.input_size if i == 0 else module.hidden_size) for i, w in enumerate(found))
    value, after = stacked(graph.add, kind, "observation", [spec.name for spec in specs], found)
    graph.add("identity", layers.Activation("identity"), value)
    states = tuple(State(spec, node) for spec, node in zip(specs, after, strict=True))
    return graph.policy(unbounded(module.input_size), unbounded(module.hidden_size), None, states=states)


def data_of(policy: Policy) -> CalibrationData:
    """Two episodes of random observations, as the policy meets them."""
    random = np.random.default_rng(0)
    episodes = tuple(random.normal(size=(steps, 5)).astype(np.float32) for steps in (80, 50))
    actor = memory_of(actor_of(runtime_of(policy)))
    assert actor is not None
    met = lived_through(actor, episodes, policy.observation_space)
    return CalibrationData(met, met, met, episodes=episodes)
