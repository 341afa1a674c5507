"""The contract: plain data with a JSON form that loses nothing, and errors for what is none."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policypress.environments.spaces import from_gymnasium
from policypress_runtime.contract import (
    STATE_SCHEMA,
    Box,
    Checked,
    Contract,
    DictSpace,
    Discrete,
    EnvironmentSpec,
    MultiBinary,
    MultiDiscrete,
    Quantity,
    Space,
    TensorSpec,
    WrapperSpec,
    action_width,
    box,
    space_from_json,
    space_to_json,
)
from policypress_runtime.errors import ArtifactError

SEED = st.integers(0, 2**31 - 1)


class Random:
    """Random plain data; made from a seed in the test, since run-time type checks draw numbers of their own."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def one_of(self, *options: Any) -> Any:
        return options[self.rng.integers(len(options))]

    def text(self) -> str:
        return "".join(self.rng.choice(list("ab/-_. é"), self.rng.integers(6)))

    def words(self) -> tuple[str, ...]:
        return tuple(self.text() for _ in range(self.rng.integers(4)))

    def counts(self) -> tuple[int, ...]:
        return tuple(self.rng.integers(1, 4, self.rng.integers(1, 4)).tolist())

    def box(self) -> Box:
        shape = self.counts()
        low, high = self.rng.normal(size=(2, *shape)) * 10.0 ** self.rng.integers(-9, 300)
        low[self.rng.random(shape) < 0.2] = -np.inf
        high[self.rng.random(shape) < 0.2] = np.inf
        dtype = self.one_of("float32", "float64", "uint8", "int64")
        return self.one_of(box(shape, dtype, low, high), box(shape, dtype, float(low.flat[0]), float(high.flat[0])))

    def single(self) -> Space:
        n, start = int(self.rng.integers(1, 9)), int(self.rng.integers(-5, 5))
        found: Space = self.one_of(self.box(), Discrete(n, start), MultiDiscrete(self.counts()), MultiBinary(n))
        return found

    def space(self) -> Space:
        members = tuple((self.text(), self.single()) for _ in range(self.rng.integers(4)))
        found: Space = self.one_of(self.single(), DictSpace(members))
        return found

    def settings(self) -> tuple[tuple[str, Any], ...]:
        values = (None, True, -3, 0.5, "text")
        return tuple({self.text(): self.one_of(*values) for _ in range(self.rng.integers(4))}.items())

    def environment(self) -> EnvironmentSpec:
        wrappers = tuple(WrapperSpec(self.text(), self.settings()) for _ in range(self.rng.integers(3)))
        return EnvironmentSpec(self.text(), self.settings(), wrappers, self.one_of(None, self.text()))

    def tensors(self) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(self.text(), "float32", self.counts()) for _ in range(self.rng.integers(3)))

    def contract(self) -> Contract:
        numbers = self.rng.normal(size=4).tolist()
        return Contract(
            algorithm=self.text(),
            observation_space=self.space(),
            action_space=self.single(),
            inputs=self.tensors(),
            outputs=self.tensors(),
            folded=self.words(),
            recipe=self.text(),
            recipe_hash=self.text(),
            environment=self.one_of(None, self.environment()),
            caller_supplies=self.words(),
            assumptions=self.words(),
            parent_sha256=self.one_of(None, self.text()),
            precision=self.one_of("fp32", "int8", "mixed"),
            policypress_version=self.text(),
            measured_return=self.one_of(None, Quantity(*numbers, int(self.rng.integers(1, 100)))),
            batch_independent=self.one_of(True, False),
        )


EXAMPLE = Contract("sac", Discrete(3), Discrete(2), (), (), (), "none", "")


def through_json(data: Any) -> Any:
    return json.loads(json.dumps(data, allow_nan=False))


@given(SEED)
def test_spaces_survive_json(seed: int) -> None:
    space = Random(seed).space()
    assert space_from_json(through_json(space_to_json(space))) == space


@given(SEED)
def test_contracts_survive_json(seed: int) -> None:
    """Strict JSON: infinite bounds are text, nothing else is infinite."""
    contract = Random(seed).contract()
    assert Contract.from_json(through_json(contract.to_json())) == contract


@given(SEED)
def test_environments_survive_json(seed: int) -> None:
    spec = Random(seed).environment()
    assert EnvironmentSpec.from_json(through_json(spec.to_json())) == spec


@pytest.mark.parametrize("field", sorted(EXAMPLE.to_json().keys() - {"assumptions"}))
def test_every_field_is_needed(field: str) -> None:
    data = EXAMPLE.to_json()
    del data[field]
    with pytest.raises(ArtifactError):
        Contract.from_json(data)


@pytest.mark.parametrize("field", ["observation_space", "action_space", "inputs", "outputs", "environment"])
@pytest.mark.parametrize("value", [3, "text", [3], {"kind": "discrete"}, {"kind": "graph"}])
def test_fields_of_another_form(field: str, value: object) -> None:
    with pytest.raises(ArtifactError):
        Contract.from_json({**EXAMPLE.to_json(), field: value})


@pytest.mark.parametrize("schema", [None, 0, STATE_SCHEMA + 1, "1"])
def test_other_schemas_are_named(schema: object) -> None:
    with pytest.raises(ArtifactError, match=r"another schema[\s\S]*Upgrade"):
        Contract.from_json({**EXAMPLE.to_json(), "schema": schema})


def test_a_contract_with_a_state_has_one() -> None:
    with pytest.raises(ArtifactError, match="no state"):
        Contract.from_json({**EXAMPLE.to_json(), "schema": STATE_SCHEMA})


def test_unknown_space() -> None:
    with pytest.raises(ArtifactError, match=r"graph[\s\S]*multi_binary"):
        space_from_json({"kind": "graph"})


@given(SEED)
def test_bounds_have_the_box_s_shape(seed: int) -> None:
    space = Random(seed).box()
    low, high = space.bounds()
    assert low.shape == high.shape == space.shape
    assert low.dtype == np.float64
    assert space.size == low.size
    assert box(space.shape, space.dtype, low, high) == space


def test_uniform_bounds_are_stored_once() -> None:
    assert box((3, 2), "float32", np.full((3, 2), -1.0), 5).low == (-1.0,)
    assert box((2,), "float32", [0, 1], [2, 2]) == Box((2,), "float32", (0.0, 1.0), (2.0,))
    assert box((), "float32", -1, 1).size == 1


def test_bounds_are_those_of_gymnasium() -> None:
    space = gym.spaces.Box(np.array([-1, -np.inf], np.float32), np.array([np.inf, 2.5], np.float32))
    told = from_gymnasium(space)
    assert isinstance(told, Box)
    low, high = told.bounds()
    np.testing.assert_array_equal(low, space.low)
    np.testing.assert_array_equal(high, space.high)


@pytest.mark.parametrize(
    ("space", "width"),
    [
        (box((2, 3), "float32", -1, 1), 6),
        (Discrete(4, 2), 4),
        (MultiDiscrete((2, 3)), 5),
        (MultiBinary(7), 7),
    ],
)
def test_action_width(space: Space, width: int) -> None:
    assert action_width(space) == width


def test_dicts_are_no_action_space() -> None:
    with pytest.raises(ArtifactError, match="Dict"):
        action_width(DictSpace(()))


def test_the_measured_return_is_added_later() -> None:
    quantity = Quantity(100.0, 90.0, 110.0, 0.95, 30)
    told = EXAMPLE.with_return(quantity)
    assert told.measured_return == quantity
    assert EXAMPLE.measured_return is None
    assert Contract.from_json(told.to_json()) == told


def test_plain_data_needs_numpy_alone() -> None:
    code = (
        "import sys, policypress_runtime.contract, policypress.records;"
        "print([m for m in ('torch', 'onnx', 'gymnasium') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_comparison_with_the_author_s_code_stands_in_the_contract() -> None:
    plain = Random(0).contract()
    assert "checked" not in plain.to_json(), "the text of other contracts stays what it was"
    assert Contract.from_json({**plain.to_json(), "checked": None}) == plain
    compared = replace(plain, checked=Checked("pairs.npz", "0" * 64, 64, 0.03))
    assert Contract.from_json(json.loads(json.dumps(compared.to_json()))) == compared
    assert compared.checked is not None
    assert compared.checked.in_words() == "64 pairs of pairs.npz, largest difference 0.03 of what is allowed"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pairs", 0),
        ("pairs", 2.5),
        ("worst", 1.5),
        ("worst", -1),
        ("worst", "0"),
        ("file", "a\x1b[2Jb"),
        ("sha256", 3),
        ("by_choice", 1),
    ],
)
def test_a_comparison_of_another_form_is_refused(field: str, value: object) -> None:
    compared = replace(Random(0).contract(), checked=Checked("pairs.npz", "0" * 64, 64, 0.03)).to_json()
    stated: Any = compared["checked"]
    with pytest.raises(ArtifactError, match="checked"):
        Contract.from_json({**compared, "checked": {**stated, field: value}})
    missing = {key: one for key, one in stated.items() if key != field}
    with pytest.raises(ArtifactError, match="checked"):
        Contract.from_json({**compared, "checked": missing})
