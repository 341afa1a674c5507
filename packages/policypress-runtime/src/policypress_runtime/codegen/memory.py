"""Where the arrays of a program lie: those that are never needed at the same time share memory.

Arrays of one kind of element live in one C array, so that no memory is read as another type than it was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from policypress_runtime.codegen.expression import ITEM_BYTES, Kind, Load, Storage, leaves
from policypress_runtime.codegen.program import Map, Program, Step, reads, writes

MOST_SCRATCH_BYTES = 1 << 30
"""Working memory of one observation, at most; positions in it are ints of C."""
# Kernels read whole vectors: so many bytes behind the last array must be there.
SPARE_BYTES = 64


@dataclass(frozen=True)
class Memory:
    """Offsets of the scratch arrays among their kind, in elements, and the elements of each kind in all.

    ``strides`` is what one observation takes of an array; a batch of n takes n times that, from n times the offset on.
    """

    offsets: Mapping[Storage, int]
    strides: Mapping[Storage, int]
    elements: Mapping[Kind, int]

    def scratch_bytes(self, rows: int = 1) -> int:
        """Bytes of working memory for ``rows`` observations at once."""
        total = sum(rows * count * ITEM_BYTES[kind] for kind, count in self.elements.items())
        return total + (SPARE_BYTES if self.elements.get("uint8") else 0)

    def places(self, rows: int, alignment_bytes: int) -> dict[Kind, int]:
        """Where the elements of each kind begin in one piece of memory, in bytes."""
        return self._laid_out(rows, alignment_bytes)[0]

    def given_bytes(self, rows: int, alignment_bytes: int) -> int:
        """Bytes that a caller has to give, wherever they begin."""
        return self._laid_out(rows, alignment_bytes)[1] + alignment_bytes - 1

    def _laid_out(self, rows: int, alignment_bytes: int) -> tuple[dict[Kind, int], int]:
        places: dict[Kind, int] = {}
        total = 0
        for kind, item_bytes in ITEM_BYTES.items():
            places[kind] = total
            spare = SPARE_BYTES if kind == "uint8" and self.elements.get(kind) else 0
            size = self.elements.get(kind, 0) * rows * item_bytes + spare
            total += size + -size % alignment_bytes
        return places, total


@dataclass
class _Block:
    """Arrays that lie on one another, and the steps between which they are in use."""

    members: list[Storage]
    first: int
    last: int
    size: int
    offset: int = 0


def allocate(program: Program, alignment_bytes: int = 64) -> Memory:
    """Place every scratch array; the largest first, each at the lowest place that is free while it is in use."""
    blocks = _blocks(program)
    strides: dict[Storage, int] = {}
    elements: dict[Kind, int] = {}
    for kind in ITEM_BYTES:
        step = max(1, alignment_bytes // ITEM_BYTES[kind])
        placed: list[_Block] = []
        for block in sorted((b for b in blocks if b.members[0].kind == kind), key=lambda b: (-b.size, b.first)):
            block.size = -(-block.size // step) * step
            block.offset = _lowest_gap(block, placed)
            placed.append(block)
            strides.update(dict.fromkeys(block.members, block.size))
        if placed:
            elements[kind] = max(block.offset + block.size for block in placed)
    offsets = {storage: block.offset for block in blocks for storage in block.members}
    return Memory(offsets, strides, elements)


def _blocks(program: Program) -> list[_Block]:
    first: dict[Storage, int] = {}
    last: dict[Storage, int] = {}
    for position, step in enumerate(program.steps):
        for storage in (*reads(step), *writes(step)):
            if storage.space == "scratch":
                first.setdefault(storage, position)
                last[storage] = position
    if program.scores is not None:
        last[program.scores] = len(program.steps)
    owner: dict[Storage, _Block] = {}
    for storage, position in sorted(first.items(), key=lambda item: item[1]):
        over = _replaceable(program.steps[position], storage, position, last)
        if over is not None:
            block = owner[over]
            block.members.append(storage)
            block.last = last[storage]
        else:
            block = _Block([storage], position, last[storage], storage.size)
        owner[storage] = block
    return list({id(block): block for block in owner.values()}.values())


def _replaceable(step: Step, out: Storage, position: int, last: Mapping[Storage, int]) -> Storage | None:
    """An operand of the same size that a loop can overwrite as it goes, because nothing reads it afterwards."""
    if not isinstance(step, Map) or step.out.offset or step.size != out.size:
        return None
    loads = list(leaves(step.expression))
    for load in loads:
        storage = load.storage
        fits = storage.space == "scratch" and storage.kind == out.kind and storage.size == out.size
        if fits and _only_in_step(storage, loads, step.size) and last[storage] == position:
            return storage
    return None


def _only_in_step(storage: Storage, loads: list[Load], size: int) -> bool:
    """Whether every load of ``storage`` reads element i for result i."""
    return all(x.index.size == size and int(x.index.reshape(-1)[0]) == 0 for x in loads if x.storage is storage)


def _lowest_gap(block: _Block, placed: list[_Block]) -> int:
    offset = 0
    for other in sorted(placed, key=lambda b: b.offset):
        apart = other.last < block.first or block.last < other.first
        if not apart and other.offset < offset + block.size and offset < other.offset + other.size:
            offset = other.offset + other.size
    return offset
