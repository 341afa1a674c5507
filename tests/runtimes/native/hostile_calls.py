"""What a careless or hostile caller does to an extension module: ``python hostile_calls.py FOLDER CALL``.

FOLDER holds ``box.so`` (5 floats in, 3 floats out), ``wide.so`` (3000 floats in) and ``parts.so`` (a dict in, one
integer and its scores out). Each call ends by itself, or the process by an exception; it must not crash, nor give
another result than before.
"""

from __future__ import annotations

import ctypes
import gc
import json
import math
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

sys.path.insert(0, sys.argv[1])
import box
import parts
import wide

OBSERVATION = np.array([0.5, -1.0, 2.0, 0.25, -0.125], np.float32)
ACTION = box.act(OBSERVATION)
CAMERA, SPEED = np.zeros((2, 12, 10), np.uint8), np.zeros(5, np.float32)
PARTS = {"camera": CAMERA, "speed": SPEED, "gear": 2, "lamps": np.zeros(2, np.int8)}
CONTRACT = json.loads(parts.contract)
REFUSALS = (ValueError, TypeError, BufferError, OverflowError)


class Empty(ctypes.Structure):
    """An item of no bytes."""

    _fields_ = ()


def refused(call: Callable[[], object], *errors: type[BaseException]) -> None:
    """``call`` raises one of ``errors``, by default one that says that an argument is wrong."""
    expected = errors or REFUSALS
    try:
        result = call()
    except expected:
        return
    raise AssertionError(f"was taken: {result!r}")


def items_of_no_bytes() -> None:
    for action in (np.empty(3, "V0"), np.empty(3, "S0"), (Empty * 3)()):
        refused(lambda action=action: box.act_into(OBSERVATION, action))
        refused(lambda action=action: box.act_into(action, np.empty(3, np.float32)))
        refused(lambda action=action: parts.act_into(PARTS, action))
    rows = np.zeros((4, 5), np.float32)
    for actions in (np.empty((4, 3), "V0"), (Empty * 12)(), np.empty(12, "S0")):
        refused(lambda actions=actions: box.act_batch(rows, actions))
        refused(lambda actions=actions: box.act_batch(actions, np.empty((4, 3), np.float32)))
    assert box.act_batch(np.zeros((0, 5), np.float32), np.empty((0, 3), np.float32)) == 0
    refused(lambda: box.act_batch(np.zeros((0, 5), np.float32), np.empty((0, 3), "V0")))


def lists_that_change() -> None:
    given: list[Any] = []

    class Clears:
        def __float__(self) -> float:
            given.clear()
            gc.collect()
            self.junk = [bytes(200) for _ in range(50)]
            return 1.0

    class Shrinks:
        def __float__(self) -> float:
            given[:] = []
            given.extend("x" * k for k in range(3))
            return 1.0

    class Replaces:
        def __float__(self) -> float:
            given[:] = [0.25 * k for k in range(5)]
            return 0.0

    for _ in range(50):
        for evil in (Clears, Shrinks):
            given[:] = [evil(), *(float(k) + 0.5 for k in range(4))]
            refused(lambda: box.act(given))
            given[:] = [evil(), *(object() for _ in range(4))]
            refused(lambda: box.act_into(given, np.empty(3, np.float32)))
    # As many items as before: what is read is what lies there when it is read.
    given[:] = [Replaces(), *(object() for _ in range(4))]
    assert box.act(given) == box.act([0.0, 0.25, 0.5, 0.75, 1.0])


def dicts_that_change() -> None:
    whole: dict[str, Any] = {}

    class Clears:
        def __float__(self) -> float:
            whole.clear()
            gc.collect()
            self.junk = [[0.0] * 5 for _ in range(50)]
            return 1.0

    for _ in range(50):
        whole.update(PARTS, speed=[Clears(), *(float(k) + 0.5 for k in range(4))])
        refused(lambda: parts.act(whole))


def errors_inside() -> None:
    class Raises:
        def __init__(self, error: type[BaseException]) -> None:
            self.error = error

        def __float__(self) -> float:
            raise self.error("inside")

    for error, seen in ((KeyError, ValueError), (KeyboardInterrupt, KeyboardInterrupt), (MemoryError, MemoryError)):
        refused(lambda error=error: box.act([Raises(error)] * 5), seen)
        refused(lambda error=error: box.act_into([Raises(error)] * 5, np.empty(3, np.float32)), seen)
    refused(lambda: box.act([10**400] * 5), ValueError)
    assert box.act(OBSERVATION) == ACTION


def arguments_of_every_kind() -> None:
    o = OBSERVATION
    strange: list[Any] = [
        *(
            None,
            1,
            "x",
            b"x" * 20,
            b"x",
            o[:4],
            np.zeros((1, 5), "f4"),
            np.zeros((5, 1), "f4"),
            np.zeros(34, "f4")[::2],
        ),
        *(np.zeros(10, "f4")[::2], np.zeros(5, ">f4"), np.zeros(5, ">f8"), np.zeros(5, "f2"), np.zeros(5, "c8")),
        *(np.zeros(5, "O"), np.zeros(5, "M8[s]"), np.zeros(5, "f4").view("V4"), memoryview(bytearray(20))),
        *(np.zeros(0, "f4"), np.zeros((5, 0), "f4"), [None] * 5, ["1"] * 5, iter(range(5)), {}, {"a": 1}, object()),
        *(np.full(5, np.inf, "f4"), (float("nan"),) * 5, np.zeros(24, "u1")[1:21].view("f4"), Exception, np.float32(3)),
        *(np.lib.stride_tricks.as_strided(o, (10**9,), (0,)), np.lib.stride_tricks.as_strided(o, (5,), (0,))),
        *(np.zeros(5, [("x", "f4")]), [[0.0] * 5], type("float32", (), {})(), (ctypes.c_float * 4)(), o.T[None]),
    ]
    rows, actions, scores = np.zeros((1, 5), "f4"), np.empty((1, 3), "f4"), np.empty(2, "f4")
    for given in strange:
        for call in (
            lambda given=given: box.act(given),
            lambda given=given: box.act_into(given, np.empty(3, "f4")),
            lambda given=given: box.act_batch(given, actions),
            lambda given=given: parts.act(given),
            lambda given=given: parts.run_batch(given, given, given, given, scores, np.empty(1, "i4")),
            lambda given=given: parts.act({**PARTS, "speed": given}),
            lambda given=given: parts.act({**PARTS, "gear": given, "camera": given}),
        ):
            try:
                call()
            except REFUSALS:
                continue
        if not (isinstance(given, np.ndarray) and given.dtype == np.float32 and given.size == 3):
            refused(lambda given=given: box.act_into(o, given))
        refused(lambda given=given: box.use_kernel(given) or refuse())
    for call in (box.act_batch, box.act_into, lambda: box.act_into(o), lambda: box.act_batch(rows), box.bind):
        refused(call, TypeError)
    assert box.act(o) == ACTION


def refuse() -> None:
    raise ValueError


def buffers_that_do_not_fit() -> None:
    fixed = np.empty(3, np.float32)
    fixed.flags.writeable = False
    refused(lambda: box.act_into(OBSERVATION, fixed))
    refused(lambda: box.act_into(OBSERVATION, bytes(12)))
    refused(lambda: box.act_into(OBSERVATION, np.empty(6, np.float32)[::2]))
    refused(lambda: box.act_into(OBSERVATION, np.empty(3, ">f4")))
    refused(lambda: box.act_into(OBSERVATION, np.zeros(13, np.uint8)[1:].view(np.float32)))
    rows, actions = np.zeros((15, 5), np.float32), np.empty((15, 3), np.float32)
    # As many bytes, in other rows: 15 x 5 floats are not 25 observations of 3.
    refused(lambda: box.act_batch(np.zeros((5, 15), np.float32), actions))
    refused(lambda: box.act_batch(rows, np.empty((5, 9), np.float32)))
    refused(lambda: box.act_batch(rows.T, actions))
    refused(lambda: box.act_batch(rows[::2], actions[:8]))
    # Results over what is still to be read.
    both = np.zeros(15 * 5 + 15 * 3, np.float32)
    refused(lambda: box.act_batch(both[:75].reshape(15, 5), both[30:75].reshape(15, 3)))
    assert box.act_batch(both[:75], both[75:]) == 0
    scores = 2 * math.prod(next(one["shape"] for one in CONTRACT["outputs"] if one["name"] == "scores"))
    given = [np.zeros((2, 2, 12, 10), np.uint8), np.zeros((2, 5), np.float32), np.zeros(2, np.int32)]
    given.append(np.zeros((2, 2), np.int8))
    both = np.zeros(scores + 2, np.float32)
    assert parts.run_batch(*given, both[:-2], both[-2:].view(np.int32)) == 0
    refused(lambda: parts.run_batch(*given, both[:-2], both[:2].view(np.int32)))


def arrays_of_others() -> None:
    class Named(ctypes.Array):
        _type_, _length_ = ctypes.c_float, 3

        def astype(self, *_: object) -> object:
            return self

    Named.__name__ = "numpy.ndarray"
    box.bind(lambda: np.empty(3, np.float32), lambda observation: None)
    np.testing.assert_array_equal(box.act(OBSERVATION), np.float32(ACTION))
    assert box.act([0.0] * 5) is None
    for make in (Named, lambda: np.empty(5, np.float32), lambda: None, lambda: 3, lambda: b"123456789012"):
        box.bind(make, lambda observation: None)
        refused(lambda: box.act(OBSERVATION))

    class Rebinds:
        def __call__(self, *_: object) -> Any:
            box.bind(lambda: np.empty(3, np.float32), Rebinds())
            gc.collect()
            return np.empty(3, np.float32)

    for _ in range(50):
        box.bind(Rebinds(), Rebinds())
        box.act(OBSERVATION)
        box.bind(lambda: np.empty(3, np.float32), Rebinds())
        box.act([1.0])
    box.bind(lambda: np.empty(3, np.float32).view(type("Own", (np.ndarray,), {})), None)
    np.testing.assert_array_equal(box.act(OBSERVATION), np.float32(ACTION))

    def interrupted() -> None:
        raise KeyboardInterrupt

    refused(lambda: box.bind(interrupted, None), KeyboardInterrupt)
    refused(lambda: box.act(OBSERVATION), KeyboardInterrupt)


def small_stacks() -> None:
    """What is too large for them lies elsewhere: working memory of one action and of a batch, and converted inputs."""
    threading.stack_size(1 << 16)
    rows, actions = np.zeros((64, 5), np.float32), np.empty((64, 3), np.float32)
    many = np.random.default_rng(0).normal(size=(40, 3000))
    single, several = many.astype(np.float32), np.empty((40, 3), np.float32)
    calls: list[Callable[[], object]] = [
        *(lambda: box.act(OBSERVATION), lambda: box.act_batch(rows, actions), lambda: parts.act(PARTS)),
        *(lambda: wide.act_batch(single, several), lambda: wide.act(single[0]), lambda: wide.act(many[0])),
        *(lambda: wide.act(many[0].tolist()), lambda: wide.act_into(many[0], actions[0])),
    ]
    done: list[Any] = []
    for call in calls:
        thread = threading.Thread(target=lambda call=call: done.append(call()))
        thread.start()
        thread.join()
    assert len(done) == len(calls)
    assert done[4] == done[5] == done[6] == tuple(several[0].tolist()) == tuple(actions[0].tolist())


def kernels_that_change() -> None:
    names = ["plain", "avx2", "avxvnni", "avx512vnni", "amx", "neon", "dotprod"]
    rows = np.random.default_rng(0).normal(size=(256, 5)).astype(np.float32)
    want = np.empty((256, 3), np.float32)
    box.act_batch(rows, want)
    wrong: list[int] = []

    def act() -> None:
        actions = np.empty_like(want)
        for _ in range(100):
            box.act_batch(rows, actions)
            if not np.array_equal(actions, want):
                wrong.append(1)

    def change() -> None:
        for turn in range(2000):
            box.use_kernel(names[turn % len(names)])

    threads = [threading.Thread(target=target) for target in (act, act, act, act, change)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def references() -> None:
    action, wide, rows = np.empty(3, np.float32), OBSERVATION.astype(np.float64), np.zeros((8, 5), np.float32)
    actions, listed = np.empty((8, 3), np.float32), [0.0] * 5

    def counts() -> list[int]:
        held = (OBSERVATION, action, wide, rows, actions, listed, PARTS, CAMERA, SPEED, PARTS["lamps"], None)
        return [sys.getrefcount(one) for one in held[:-1]]

    def round_of_calls() -> None:
        box.act(OBSERVATION), box.act_into(wide, action), box.act(listed), box.act_batch(rows, actions)
        parts.act(PARTS)
        for call in (lambda: box.act(wide[:3]), lambda: box.act_batch(wide, actions), lambda: parts.act({"speed": 1})):
            refused(call)

    round_of_calls()
    before = counts()
    for _ in range(200):
        round_of_calls()
    assert counts() == before


CALLS = {
    function.__name__: function
    for function in (
        *(items_of_no_bytes, lists_that_change, dicts_that_change, errors_inside, arguments_of_every_kind),
        *(buffers_that_do_not_fit, arrays_of_others, small_stacks, kernels_that_change, references),
    )
}

if __name__ == "__main__":
    sys.setswitchinterval(1e-4)
    CALLS[sys.argv[2]]()
    print("went well")
