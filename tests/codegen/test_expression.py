"""Trees of element-wise operations."""

from __future__ import annotations

import numpy as np

from policypress_runtime.codegen.expression import (
    OPERATIONS,
    Constant,
    Expression,
    Load,
    Storage,
    apply,
    constant,
    constants,
    evaluate,
    leaves,
    operations,
    replaced,
)

X = Load(Storage("x", "float32", 3), np.arange(3))


def test_shapes_broadcast_and_kinds_follow() -> None:
    tree = apply("add", X, constant(np.ones((2, 1))))
    assert tree.shape == (2, 3)
    assert tree.real
    assert not apply("greater", X, 0.0).real
    assert apply("float", apply("greater", X, 0.0)).real
    assert not constant(np.array([1, 2])).real


def test_what_is_shared_is_visited_once_and_stays_shared() -> None:
    tree: Expression = X
    for _ in range(60):
        tree = apply("mul", tree, tree)
    assert len(list(operations(tree))) == 60
    assert list(leaves(tree)) == [X]
    moved = replaced(tree, lambda leaf: constant(np.float32(1.0)) if isinstance(leaf, Load) else leaf)
    assert len(list(operations(moved))) == 60
    assert len(list(constants(moved))) == 1


def test_evaluation_is_float32() -> None:
    tree = apply("clamp", apply("div", apply("sub", X, 0.1), 3.0), -1.0, 1.0)
    x = np.array([-5.0, 0.7, 2.0], np.float32)
    got = evaluate(tree, lambda _: x)
    assert got is not None
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, np.clip((x - np.float32(0.1)) / np.float32(3), -1, 1))


def test_what_numpy_cannot_say_bit_by_bit_is_not_evaluated() -> None:
    assert evaluate(apply("tanh", X), lambda _: np.zeros(3, np.float32)) is None


def test_every_operation_has_as_many_operands_as_its_text() -> None:
    for name, operation in OPERATIONS.items():
        operands = [f"v{i}" for i in range(3)]
        assert "{" not in operation.c.format(*operands), name


def test_integers_stay_integers() -> None:
    assert isinstance(constant(3), Constant)
    assert constant(True).values.dtype == np.int32
