"""Every kernel of this machine against numpy's integers, bit by bit."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path

import numpy as np
import pytest
from c_kernels import Case, Kernels, compile_c, pointer, source
from hypothesis import example, given
from hypothesis import strategies as st

from kernels_here import ONLY_HERE
from policypress_runtime.codegen import kernels
from policypress_runtime.codegen.packing import NARROW, QUADS, SIGNED_QUADS, Layout, pack_bias, pack_int8, pack_vector

HERE = kernels.SETS["host"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kernels]:
    """A library for each layout that has kernels on this machine."""
    libraries = {}
    for layout, sets in ((QUADS, HERE), (SIGNED_QUADS, [kernels.PLAIN]), (NARROW, [kernels.PLAIN])):
        folder: Path = tmp_path_factory.mktemp("kernels")
        libraries[layout.name] = Kernels(compile_c(folder, source(layout, sets), "-O1", *ONLY_HERE), layout)
    return libraries


PAIRS = [(QUADS, one) for one in HERE] + [(SIGNED_QUADS, kernels.PLAIN), (NARROW, kernels.PLAIN)]
every_kernel = pytest.mark.parametrize(("layout", "kernel"), PAIRS, ids=lambda one: one.name)


@st.composite
def cases(draw: st.DrawFn, bits: int = 8) -> Case:
    """Sizes at and beside panels and tiles; weights and inputs random or extreme."""
    n = draw(st.one_of(st.integers(1, 40), st.sampled_from((63, 64, 65, 127, 128, 192, 200, 256, 257, 300))))
    segments = draw(st.integers(1, 4))
    run = draw(st.one_of(st.integers(1, 70), st.integers(120, 200)))
    rows = draw(st.one_of(st.integers(1, 14), st.integers(15, 70)))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    top = 2 ** (bits - 1)
    weight = random.integers(-top, top, (n, segments, run))
    if draw(st.booleans()):
        weight = random.choice([-top, top - 1], (n, segments, run))
    segment_stride = draw(st.sampled_from((run, run + 3, 4 * run)))
    x_stride = draw(st.sampled_from((1, run, segments * segment_stride)))
    size = (rows - 1) * x_stride + (segments - 1) * segment_stride + run
    x = random.integers(0, 256, size) if draw(st.booleans()) else np.full(size, 255)
    multiplier = (10.0 ** random.uniform(-6, 0, n)).astype(np.float32)
    return Case(
        weight.astype(np.int8),
        random.integers(-(2**20), 2**20, n).astype(np.int32),
        multiplier,
        x.astype(np.uint8),
        rows,
        x_stride,
        segment_stride,
        draw(st.sampled_from((0, 128, 255, 3))),
    )


def check(library: Kernels, kernel: str, case: Case, bits: int) -> None:
    if not library.has(kernel):
        pytest.skip(f"this machine has no {kernel}")
    assert np.array_equal(library.values(kernel, case, bits), case.values())
    for lo, hi in ((-float(case.zero), 255.0 - case.zero), (0.0, 100.0 - min(case.zero, 100.0))):
        assert np.array_equal(library.integers(kernel, case, lo, hi, bits), case.integers(lo, hi))


@every_kernel
@given(case=cases())
def test_8_bit_weights(built: dict[str, Kernels], layout: Layout, kernel: kernels.KernelSet, case: Case) -> None:
    check(built[layout.name], kernel.name, case, 8)


@every_kernel
@given(case=cases(4))
def test_4_bit_weights(built: dict[str, Kernels], layout: Layout, kernel: kernels.KernelSet, case: Case) -> None:
    check(built[layout.name], kernel.name, case, 4)


class Fenced:
    """A copy that ends where the page ends behind which nothing may be read."""

    def __init__(self, array: np.ndarray) -> None:
        size = -(-array.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self.room = mmap.mmap(-1, size + mmap.PAGESIZE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.room))
        ctypes.memmove(start + size - array.nbytes, array.ctypes.data, array.nbytes)
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        assert protect(ctypes.c_void_p(start + size), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
        self.pointer = ctypes.c_void_p(start + size - array.nbytes)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mprotect"), reason="needs mprotect")
@pytest.mark.parametrize("kernel", HERE, ids=lambda one: one.name)
@pytest.mark.parametrize(("n", "run", "rows"), [(6, 20, 9), (64, 64, 16), (100, 132, 33), (48, 256, 7)])
def test_nothing_is_read_behind_arrays_of_bytes(
    built: dict[str, Kernels], kernel: kernels.KernelSet, n: int, run: int, rows: int
) -> None:
    """AMX's loads are instructions that no sanitizer sees."""
    library = built[QUADS.name]
    if not library.has(kernel.name):
        pytest.skip(f"this machine has no {kernel.name}")
    random = np.random.default_rng(run)
    weight = random.integers(-128, 128, (n, 1, run)).astype(np.int8)
    x = random.integers(0, 256, rows * run).astype(np.uint8)
    case = Case(weight, np.zeros(n, np.int32), np.full(n, 1e-4, np.float32), x, rows, run, run)
    fenced = [Fenced(array) for array in (x, pack_int8(weight, QUADS))]
    bias, multiplier = pack_bias(case.bias, weight, QUADS), pack_vector(case.multiplier, QUADS)
    out = np.empty((rows, n), np.float32)
    stride = ctypes.c_ssize_t
    getattr(library.shared_object, f"qdense_f32_{kernel.name}")(
        fenced[0].pointer, rows, stride(run), 1, stride(run), run,
        fenced[1].pointer, pointer(bias), pointer(multiplier), n, pointer(out), stride(n),
    )  # fmt: skip
    assert np.array_equal(out, case.values())


@every_kernel
@given(
    n=st.integers(1, 300), segments=st.integers(1, 3), run=st.integers(1, 40), rows=st.integers(1, 14),
    seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
@example(n=256, segments=1, run=256, rows=1, seed=0)
def test_float_weights(
    built: dict[str, Kernels], layout: Layout, kernel: kernels.KernelSet,
    n: int, segments: int, run: int, rows: int, seed: int,
) -> None:  # fmt: skip
    if not built[layout.name].has(kernel.name):
        pytest.skip(f"this machine has no {kernel.name}")
    random = np.random.default_rng(seed)
    weight = random.normal(size=(n, segments, run)).astype(np.float32)
    bias = random.normal(size=n).astype(np.float32)
    x = random.normal(size=(rows, segments, run + 2)).astype(np.float32)
    strides = segments * (run + 2), run + 2
    found = built[layout.name].floats(kernel.name, weight, bias, x, strides, rows)
    flat = x[:, :, :run].reshape(rows, -1).astype(np.float64)
    matrix = weight.reshape(n, -1).T.astype(np.float64)
    bound = (np.abs(flat) @ np.abs(matrix) + np.abs(bias)) * 2.0**-24 * (segments * run + 1)
    assert (np.abs(found - (flat @ matrix + bias)) <= bound).all()


@every_kernel
@given(st.integers(1, 200), st.floats(2.0**-20, 1e3, width=32), st.integers(0, 255), st.integers(0, 2**32 - 1))
def test_quantize(
    built: dict[str, Kernels], layout: Layout, kernel: kernels.KernelSet, n: int, scale: float, zero: int, seed: int
) -> None:
    library = built[layout.name]
    if not library.has(kernel.name):
        pytest.skip(f"this machine has no {kernel.name}")
    random = np.random.default_rng(seed)
    steps = random.choice([random.uniform(-300, 300), random.integers(-300, 300) + 0.5, 1e30, -1e30], n)
    x = (steps * scale).astype(np.float32)
    out = np.zeros(n, np.uint8)
    lo, hi = np.float32(-zero), np.float32(255 - zero)
    status = getattr(library.shared_object, f"quantize_{kernel.name}")(
        pointer(x), n, ctypes.c_float(scale), ctypes.c_float(lo), ctypes.c_float(hi), zero, pointer(out)
    )
    value = x / np.float32(scale)
    assert np.array_equal(out, (np.rint(np.clip(value, lo, hi)) + zero).astype(np.uint8))
    assert status == int((value > hi + 0.5).any() or (value < lo - 0.5).any())
