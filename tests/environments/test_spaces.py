from __future__ import annotations

import gymnasium.spaces as gs
import numpy as np
import pytest

from policypress.environments.spaces import from_gymnasium
from policypress_runtime.contract import Box, DictSpace, Discrete, MultiBinary, MultiDiscrete
from policypress_runtime.errors import EnvironmentInputError


def test_box_keeps_shape_dtype_and_bounds() -> None:
    space = from_gymnasium(gs.Box(np.array([-1, -np.inf]), np.array([2, np.inf]), dtype=np.float64))
    assert space == Box((2,), "float64", (-1.0, -np.inf), (2.0, np.inf))


def test_uniform_bounds_are_stored_once() -> None:
    assert from_gymnasium(gs.Box(0, 255, (4, 4, 3), np.uint8)) == Box((4, 4, 3), "uint8", (0.0,), (255.0,))


def test_discrete_kinds() -> None:
    assert from_gymnasium(gs.Discrete(3, start=2)) == Discrete(3, 2)
    assert from_gymnasium(gs.MultiDiscrete([2, 5])) == MultiDiscrete((2, 5))
    assert from_gymnasium(gs.MultiBinary(4)) == MultiBinary(4)


def test_dict_keeps_its_order() -> None:
    space = from_gymnasium(gs.Dict({"b": gs.Discrete(2), "a": gs.MultiBinary(1)}))
    assert isinstance(space, DictSpace)
    assert dict(space.spaces) == {"b": Discrete(2), "a": MultiBinary(1)}


@pytest.mark.parametrize(
    "space",
    [
        gs.Tuple((gs.Discrete(2), gs.Discrete(3))),
        gs.Text(5),
        gs.Sequence(gs.Discrete(2)),
        gs.Graph(gs.Box(0, 1, (2,)), None),
        gs.MultiDiscrete([[2, 2], [2, 2]]),
        gs.MultiDiscrete([2, 2], start=[1, 0]),
        gs.MultiBinary((2, 2)),
        gs.Dict({"outer": gs.Dict({"inner": gs.Discrete(2)})}),
        gs.Dict({"pair": gs.Tuple((gs.Discrete(2),))}),
    ],
    ids=str,
)
def test_unsupported_spaces_are_named(space: gs.Space[object]) -> None:
    with pytest.raises(EnvironmentInputError, match="not supported") as caught:
        from_gymnasium(space)
    assert caught.value.expected
    assert caught.value.hint


def test_a_nested_dict_is_told_by_its_key() -> None:
    with pytest.raises(EnvironmentInputError, match="'outer'"):
        from_gymnasium(gs.Dict({"outer": gs.Dict({"inner": gs.Discrete(2)})}))
