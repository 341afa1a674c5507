"""The networks that tensors of an author's own class may stand for."""

from __future__ import annotations

import numpy as np

from policypress.agents.bundle import Activation, Cnn, Extractor, Sb3Network
from policypress.agents.sb3.guesses import alternatives

RELU, TANH = Activation("relu"), Activation("tanh")


def network(names: tuple[str, ...] = (), cnn: Cnn | None = None) -> Sb3Network:
    state = {name: np.zeros(1, np.float32) for name in names}
    kind = "flatten" if cnn is None else "cnn"
    return Sb3Network("ppo", state, TANH, Extractor(kind, "", cnn), False, norm_epsilon=1e-5)


def test_other_activations_unless_one_is_stated() -> None:
    found = [n.activation for n in alternatives(network(), None, own_cnn=False)]
    assert found[0] == RELU
    assert TANH not in found
    assert Activation("leaky_relu", (("negative_slope", 0.2),)) in found
    assert alternatives(network(), TANH, own_cnn=False) == ()


def test_activations_of_a_cnn_and_epsilons() -> None:
    cnn = Cnn((4, 2), (0, 0))
    assert alternatives(network(cnn=cnn), TANH, own_cnn=False) == ()
    kinds = [n.extractor.cnn for n in alternatives(network(cnn=cnn), TANH, own_cnn=True)]
    assert kinds[0] == Cnn((4, 2), (0, 0), TANH)
    assert cnn not in kinds
    assert {n.norm_epsilon for n in alternatives(network(("a.0.running_mean",)), TANH, own_cnn=False)} == {1e-3, 1e-6}
