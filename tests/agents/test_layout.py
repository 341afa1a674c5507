"""Layers that form one network, or an error that names the one that does not fit."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from torch import nn

from policypress.agents.sb3.defaults import FACTS
from policypress.agents.sb3.layout import check_normalisation, read_layout
from policypress.agents.sb3.reading import read_sb3_zip
from policypress_runtime.errors import DamagedAgentError

FEATURES, ACTIONS = 5, 3


def zeros(shape: Any) -> np.ndarray:
    return np.zeros(shape, np.float32)


def ones(shape: Any) -> np.ndarray:
    return np.ones(shape, np.float32)


def stack(prefix: str, *widths: int) -> dict[str, np.ndarray]:
    state: dict[str, np.ndarray] = {}
    for i, (inputs, outputs) in enumerate(pairwise(widths)):
        state[f"{prefix}{2 * i}.weight"] = zeros((outputs, inputs))
        state[f"{prefix}{2 * i}.bias"] = zeros(outputs)
    return state


DQN = stack("q_net.q_net.", FEATURES, 8, 7, ACTIONS)


def read(state: dict[str, Any], family: Any = "q", outputs: int | None = ACTIONS) -> Any:
    return read_layout(state, FACTS[family], "q_net.features_extractor.", FEATURES, outputs)


def test_layers_are_counted_and_others_left_out() -> None:
    layout = read({**DQN, "q_net_target.q_net.0.weight": zeros((1, 1))})
    assert set(layout.state) == set(DQN)
    assert layout.hidden_layers == 2


def test_layers_in_the_order_of_their_numbers() -> None:
    deep = stack("q_net.q_net.", FEATURES, *[4, 6] * 6, ACTIONS)
    assert read(dict(sorted(deep.items()))).hidden_layers == 12


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("q_net.q_net.0.weight", zeros((8, 4))),
        ("q_net.q_net.2.weight", zeros((7, 9))),
        ("q_net.q_net.4.weight", zeros((4, 7))),
        ("q_net.q_net.2.weight", zeros((7, 8, 1, 1))),
        ("q_net.q_net.2.bias", zeros(8)),
        ("q_net.q_net.2.bias", zeros((7, 1))),
    ],
)
def test_shapes_that_do_not_fit(name: str, array: np.ndarray) -> None:
    with pytest.raises(DamagedAgentError):
        read({**DQN, name: array})


def test_missing_output() -> None:
    with pytest.raises(DamagedAgentError, match="output layer"):
        read({})
    with pytest.raises(DamagedAgentError, match="output layer"):
        read(stack("mlp_extractor.policy_net.", FEATURES, ACTIONS), "actor_critic")


def test_any_width_where_quantiles_decide() -> None:
    assert read(DQN, outputs=None).hidden_layers == 2


NORMALISED = {
    **{f"l.0.{part}": ones(FEATURES) for part in ("ra_mean", "ra_var", "scale", "bias")},
    "l.1.weight": zeros((8, FEATURES)),
    **{f"l.3.{part}": ones(8) for part in ("ra_mean", "ra_var", "scale", "bias")},
}


def test_normalisation_layers() -> None:
    check_normalisation(NORMALISED, "l.", FEATURES)
    for name, array in (
        ("l.0.ra_var", -ones(FEATURES)),
        ("l.3.scale", ones(7)),
        ("l.0.bias", ones((FEATURES, 1))),
    ):
        with pytest.raises(DamagedAgentError, match="normalisation"):
            check_normalisation({**NORMALISED, name: array}, "l.", FEATURES)
    with pytest.raises(DamagedAgentError, match="missing"):
        check_normalisation({n: a for n, a in NORMALISED.items() if n != "l.3.ra_mean"}, "l.", FEATURES)


def test_learned_slopes_are_no_layers(build: Any) -> None:
    saved = build("PPO", "MlpPolicy", "vector", "box", activation_fn=nn.PReLU)
    network: Any = read_sb3_zip(saved.path).network
    assert network.activation.name == "prelu"
    assert network.state["mlp_extractor.policy_net.1.weight"].shape == (1,)
