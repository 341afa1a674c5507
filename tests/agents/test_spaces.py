"""Spaces from stored fields, in the forms of gym 0.12 to gymnasium 1."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from policypress.agents.sb3.spaces import action_space, observation_space, read_space
from policypress_runtime.contract import Box, DictSpace, Discrete, MultiBinary, MultiDiscrete
from policypress_runtime.errors import AgentError, DamagedAgentError, UndeterminedAgentError, UnsupportedAgentError

INFINITE = ((-math.inf,), (math.inf,))


def fields(kind: str, **more: Any) -> dict[str, Any]:
    module = {"Box": "box", "Discrete": "discrete", "Dict": "dict"}.get(kind, kind)
    return {":type:": f"<class 'gym.spaces.{module}.{kind}'>", ":serialized:": "never read", **more}


def box_fields(low: Any, high: Any, shape: Any = (3,), dtype: Any = "float32", **more: Any) -> dict[str, Any]:
    return fields("Box", low=low, high=high, _shape=shape, dtype=dtype, **more)


def test_box_of_old_and_new_gym() -> None:
    old = fields("Box", low="[-1. -2. -8.]", high="[1. 2. 8.]", shape=[3], dtype="float32")
    assert observation_space(old) == Box((3,), "float32", (-1.0, -2.0, -8.0), (1.0, 2.0, 8.0))
    new = box_fields("[-inf -inf -inf]", "[inf inf inf]", [3], "float64", low_repr="-inf", high_repr="inf")
    assert observation_space(new) == Box((3,), "float64", *INFINITE)


def test_printed_float32_comes_back_exactly() -> None:
    bounds = np.array([4.8, np.finfo(np.float32).max, 0.41887903], np.float32)
    read = observation_space(box_fields(str(-bounds), str(bounds)))
    assert isinstance(read, Box)
    low, high = read.bounds()
    assert np.array_equal(high.astype(np.float32), bounds)
    assert np.array_equal(low.astype(np.float32), -bounds)


@pytest.mark.parametrize("dtype", ["<class 'numpy.float32'>", "float32", "<class 'float32'>"])
def test_dtype_forms(dtype: str) -> None:
    read = observation_space(box_fields("[0. 0. 0.]", "[1. 1. 1.]", dtype=dtype))
    assert isinstance(read, Box)
    assert read.dtype == "float32"


IMAGE = "[[[0 0 0 ... 0 0 0]\n  ...\n  [0 0 0 ... 0 0 0]]]"


def test_image_bounds_that_numpy_shortened() -> None:
    high = IMAGE.replace("0", "255")
    assert observation_space(box_fields(IMAGE, high, (4, 84, 84), "uint8")) == Box(
        (4, 84, 84), "uint8", (0.0,), (255.0,)
    )
    short = box_fields(IMAGE, high, (4, 84, 84), "uint8", low_repr="0", high_repr="255")
    assert observation_space(short) == Box((4, 84, 84), "uint8", (0.0,), (255.0,))


def test_shortened_bounds_that_differ_are_open_for_observations_and_an_error_for_actions() -> None:
    shortened = box_fields("[-1. -2. ... -1.]", "[1. 1. ... 1.]", (2000,))
    assert observation_space(shortened) == Box((2000,), "float32", (-math.inf,), (1.0,))
    assert not read_space(shortened, "action_space").bounds_known
    with pytest.raises(UndeterminedAgentError, match="--env"):
        action_space(shortened)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (fields("Discrete", n=4), Discrete(4)),
        (fields("Discrete", n="4", start="2"), Discrete(4, 2)),
        (fields("Discrete", n="np.int64(4)", start="np.int64(-1)"), Discrete(4, -1)),
        (fields("MultiDiscrete", nvec="[3 2 4]"), MultiDiscrete((3, 2, 4))),
        (fields("MultiDiscrete", nvec=[3, 2]), MultiDiscrete((3, 2))),
        (fields("MultiBinary", n=5), MultiBinary(5)),
        (fields("MultiBinary", n="[5]"), MultiBinary(5)),
    ],
)
def test_discrete_kinds(stored: dict[str, Any], expected: object) -> None:
    assert action_space(stored) == expected


UNIT = Box((3,), "float32", *INFINITE)
PICTURE = Box((3, 36, 36), "uint8", (0.0,), (255.0,))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{'b': Box(-inf, inf, (3,), float32), 'a': Box(0, 255, (3, 36, 36), uint8)}", [("b", UNIT), ("a", PICTURE)]),
        ("OrderedDict([('a', Box(-inf, inf, (3,), float32)), ('d', Discrete(3))])", [("a", UNIT), ("d", Discrete(3))]),
        ("OrderedDict({'a': Box(-inf, inf, (3,), float32)})", [("a", UNIT)]),
        (
            "Dict('a': Box(-inf, inf, (3,), float32), 'm': MultiDiscrete([2 3]))",
            [("a", UNIT), ("m", MultiDiscrete((2, 3)))],
        ),
        ("Dict(a:Box(3,), m:MultiBinary(4))", [("a", UNIT), ("m", MultiBinary(4))]),
        (
            "OrderedDict([('a', Box([-inf -inf -inf], [inf inf inf], (3,), float32))])",
            [("a", UNIT)],
        ),
        (
            f"OrderedDict([('a', Box({IMAGE}, {IMAGE.replace('0', '255')}, (3, 36, 36), uint8))])",
            [("a", PICTURE)],
        ),
    ],
)
def test_dict_spaces_keep_their_order(text: str, expected: list[tuple[str, Any]]) -> None:
    assert observation_space(fields("Dict", spaces=text)) == DictSpace(tuple(expected))


@pytest.mark.parametrize(
    "stored",
    [
        fields("Tuple", spaces="(Discrete(2), Discrete(3))"),
        {},
        fields("Dict", spaces="{'a': Dict('b': Discrete(2))}"),
        fields("Dict", spaces="{'a': Graph(3)}"),
        fields("MultiBinary", n="[2 3]"),
    ],
)
def test_unsupported_spaces(stored: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedAgentError):
        observation_space(stored)


@pytest.mark.parametrize(
    "stored",
    [
        fields("Box"),
        box_fields("[0. 0.]", "[1. 1.]"),
        box_fields("[1. 1. 1.]", "[0. 0. 0.]"),
        box_fields("[nan 0. 0.]", "[1. 1. 1.]"),
        box_fields("[0. 0. 0.]", "[1. 1. 1.]", dtype="object"),
        box_fields("0.", "1.", shape=[10**9]),
        box_fields("0.", "1.", shape=[-1]),
        box_fields("0.", "1.", shape="x"),
        box_fields("__import__('os')", "1."),
        fields("Discrete", n=0),
        fields("Discrete", n="many"),
        fields("Discrete", n=True),
        fields("Discrete", n=None),
        fields("MultiDiscrete", nvec="[3 ... 2]"),
        fields("MultiDiscrete", nvec="[]"),
        fields("Dict", spaces="{}"),
        fields("Dict", spaces="[1, 2]"),
        fields("Dict", spaces="{'a': 3}"),
        fields("Dict", spaces="{'a': Box(0, 1)}"),
        fields("Dict", spaces="{'a': Box(-inf, inf)}"),
    ],
)
def test_contradictory_fields_are_damage(stored: dict[str, Any]) -> None:
    with pytest.raises(AgentError) as caught:
        observation_space(stored)
    assert isinstance(caught.value, DamagedAgentError)


def test_dict_actions_are_not_supported() -> None:
    with pytest.raises(UnsupportedAgentError):
        action_space(fields("Dict", spaces="{'a': Discrete(2)}"))
