"""Arrays that live at the same time do not overlap, and memory is used again."""

from __future__ import annotations

from compiled_policies import model_of, observations_for
from hypothesis import given
from hypothesis import strategies as st
from small_policies import KINDS, mlp, quantized

from policypress_runtime.codegen.expression import ITEM_BYTES, Storage
from policypress_runtime.codegen.memory import SPARE_BYTES, allocate
from policypress_runtime.codegen.program import Map, Program, reads, writes
from policypress_runtime.codegen.reader import read_program


def lifetimes(program: Program) -> dict[Storage, tuple[int, int]]:
    times: dict[Storage, tuple[int, int]] = {}
    for position, step in enumerate(program.steps):
        for storage in (*reads(step), *writes(step)):
            if storage.space == "scratch":
                times[storage] = (times.get(storage, (position, 0))[0], position)
    if program.scores is not None:
        times[program.scores] = (times[program.scores][0], len(program.steps))
    return times


@given(
    kind=st.sampled_from(sorted(KINDS)),
    activation=st.sampled_from(["relu", "tanh", "silu"]),
    bits=st.sampled_from([None, 4, 8]),
    alignment=st.sampled_from([4, 64]),
)
def test_nothing_overlaps_while_it_is_needed(kind: str, activation: str, bits: int | None, alignment: int) -> None:
    policy = KINDS[kind](activation=activation)
    if bits is not None:
        policy = quantized(policy, observations_for(policy), bits)
    program = read_program(model_of(policy))
    memory = allocate(program, alignment)
    times = lifetimes(program)
    assert set(times) == set(memory.offsets)
    for one, (first, last) in times.items():
        assert memory.offsets[one] + one.size <= memory.elements[one.kind]
        for other, (start, end) in times.items():
            if one is other or one.kind != other.kind or last < start or end < first:
                continue
            apart = (
                memory.offsets[one] + memory.strides[one] <= memory.offsets[other]
                or memory.offsets[other] + memory.strides[other] <= memory.offsets[one]
            )
            # A loop may write over what it alone reads, element by element.
            meeting = program.steps[max(first, start)]
            assert apart or (isinstance(meeting, Map) and memory.offsets[one] == memory.offsets[other])


def test_layers_take_turns() -> None:
    """However deep the network, two layers' activations are all that is kept."""
    shallow, deep = (mlp(hidden=64, depth=depth) for depth in (2, 6))
    sizes = []
    for plain in (shallow, deep):
        model = model_of(quantized(plain, observations_for(plain)))
        sizes.append(allocate(read_program(model)).scratch_bytes())
    assert sizes[0] == sizes[1]


def test_memory_of_a_caller_holds_every_kind_apart() -> None:
    policy = KINDS["mixed"]()
    memory = allocate(read_program(model_of(quantized(policy, observations_for(policy), 8))))
    for rows in (1, 5):
        places = memory.places(rows, 64)
        ends = [place + memory.elements.get(kind, 0) * rows * ITEM_BYTES[kind] for kind, place in places.items()]
        assert all(place % 64 == 0 for place in places.values())
        assert all(end <= start for end, start in zip(ends, [*places.values()][1:], strict=False))
        # Wherever it begins: up to 63 bytes are left unused before the first array.
        assert memory.given_bytes(rows, 64) >= max(ends) + 63
        assert places["int8"] >= places["uint8"] + memory.elements["uint8"] * rows + SPARE_BYTES
