"""The C kernels as functions of numpy arrays: fragments behind exported wrappers, compiled and loaded with ctypes."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from policypress_runtime.codegen import kernels
from policypress_runtime.codegen.packing import Layout, pack_bias, pack_float, pack_int4, pack_int8, pack_vector

WARNINGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror")
SPARE_BYTES = 64
SHAPE = "const uint8_t *x, int rows, ptrdiff_t x_stride, int segments, ptrdiff_t segment_stride, int run"
CALL = "x, rows, x_stride, segments, segment_stride, run, w, bias, multiplier, n"
WRAPPERS = """
{guard}
{attribute} void qdense_u8_{name}({shape}, const int8_t *w, const int32_t *bias, const float *multiplier, int n,
    float lo, float hi, int32_t zero, uint8_t *out, ptrdiff_t out_stride);
void qdense_u8_{name}({shape}, const int8_t *w, const int32_t *bias, const float *multiplier, int n,
    float lo, float hi, int32_t zero, uint8_t *out, ptrdiff_t out_stride)
{{ pp_qdense_u8_{name}({call}, lo, hi, zero, out, out_stride); }}
{attribute} void qdense_f32_{name}({shape}, const int8_t *w, const int32_t *bias, const float *multiplier, int n,
    float *out, ptrdiff_t out_stride);
void qdense_f32_{name}({shape}, const int8_t *w, const int32_t *bias, const float *multiplier, int n,
    float *out, ptrdiff_t out_stride)
{{ pp_qdense_f32_{name}({call}, out, out_stride); }}
{attribute} void qdense4_u8_{name}({shape}, const uint8_t *w, const int32_t *bias, const float *multiplier, int n,
    float lo, float hi, int32_t zero, uint8_t *out, ptrdiff_t out_stride);
void qdense4_u8_{name}({shape}, const uint8_t *w, const int32_t *bias, const float *multiplier, int n,
    float lo, float hi, int32_t zero, uint8_t *out, ptrdiff_t out_stride)
{{ pp_qdense4_u8_{name}({call}, lo, hi, zero, out, out_stride); }}
{attribute} void qdense4_f32_{name}({shape}, const uint8_t *w, const int32_t *bias, const float *multiplier, int n,
    float *out, ptrdiff_t out_stride);
void qdense4_f32_{name}({shape}, const uint8_t *w, const int32_t *bias, const float *multiplier, int n,
    float *out, ptrdiff_t out_stride)
{{ pp_qdense4_f32_{name}({call}, out, out_stride); }}
{attribute} void fdense_{name}(const float *x, int rows, ptrdiff_t x_stride, int segments, ptrdiff_t segment_stride,
    int run, const float *w, const float *bias, int n, float *out, ptrdiff_t out_stride);
void fdense_{name}(const float *x, int rows, ptrdiff_t x_stride, int segments, ptrdiff_t segment_stride,
    int run, const float *w, const float *bias, int n, float *out, ptrdiff_t out_stride)
{{ pp_fdense_{name}(x, rows, x_stride, segments, segment_stride, run, w, bias, n, out, out_stride); }}
{attribute} int quantize_{name}(const float *x, int n, float scale, float lo, float hi, int32_t zero, uint8_t *out);
int quantize_{name}(const float *x, int n, float scale, float lo, float hi, int32_t zero, uint8_t *out)
{{ return pp_quantize_{name}(x, n, scale, lo, hi, zero, out); }}
int has_{name}(void);
int has_{name}(void) {{ return {available}; }}
{end}
"""


def source(layout: Layout, sets: Sequence[kernels.KernelSet], more: str = "") -> str:
    """A C file with the fragments of ``sets``, an exported wrapper for each kernel, and ``more``."""
    parts = [f"#define {macro} {value}\n" for macro, value in layout.defines.items()]
    own = [one.fragment for one in reversed(sets)]
    names = dict.fromkeys((*kernels.FIRST_FRAGMENTS, *own))
    parts += [kernels.fragment(name) for name in names]
    for one in sets:
        guard, end = (f"#if {one.guard}", "#endif") if one.guard != "1" else ("", "")
        fields = {"name": one.name, "attribute": one.attribute, "available": one.available, "guard": guard, "end": end}
        parts.append(WRAPPERS.format(shape=SHAPE, call=CALL, **fields))
    return "".join(parts) + more


def compile_c(folder: Path, text: str, *flags: str, compiler: str = "gcc", name: str = "kernels") -> Path:
    """A shared library, or with ``-o`` among the flags whatever they ask for; warnings are errors."""
    if shutil.which(compiler) is None:
        import pytest

        pytest.skip(f"{compiler} is not installed")
    file = folder / f"{name}.c"
    file.write_text(text)
    library = folder / f"{name}.so"
    output = () if "-o" in flags else ("-shared", "-fPIC", "-o", str(library))
    done = subprocess.run([compiler, *WARNINGS, *flags, str(file), *output], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return library


@dataclass(frozen=True)
class Case:
    """One call: integers of a layer, its inputs in a buffer, and where they lie in it.

    ``weight`` has shape (N, segments, run), ``x`` one dimension of bytes.
    """

    weight: np.ndarray
    bias: np.ndarray
    multiplier: np.ndarray
    x: np.ndarray
    rows: int
    x_stride: int
    segment_stride: int
    zero: int = 0

    @property
    def padded_run(self) -> int:
        return -(-self.weight.shape[2] // 4) * 4

    def inputs(self) -> np.ndarray:
        """(rows, segments, run), as the kernel is to see them."""
        _, segments, run = self.weight.shape
        index = (
            np.arange(self.rows)[:, None, None] * self.x_stride
            + np.arange(segments)[None, :, None] * self.segment_stride
            + np.arange(run)
        )
        return self.x[index]

    def sums(self) -> np.ndarray:
        """(rows, N) by numpy's integers."""
        n = len(self.weight)
        flat = self.inputs().reshape(self.rows, -1).astype(np.int64)
        return flat @ self.weight.reshape(n, -1).T.astype(np.int64) + self.bias

    def values(self) -> np.ndarray:
        """The float output."""
        return (self.sums().astype(np.int32).astype(np.float32) * self.multiplier).astype(np.float32)

    def integers(self, lo: float, hi: float) -> np.ndarray:
        """The quantized output."""
        return (np.rint(np.clip(self.values(), np.float32(lo), np.float32(hi))) + self.zero).astype(np.uint8)


class Kernels:
    """The kernels of one compiled library."""

    def __init__(self, library: Path, layout: Layout) -> None:
        self.shared_object = ctypes.CDLL(str(library))
        self.layout = layout

    def has(self, name: str) -> bool:
        return (
            bool(getattr(self.shared_object, f"has_{name}")()) if hasattr(self.shared_object, f"has_{name}") else False
        )

    def _call(self, function: str, case: Case, bits: int, limits: tuple[object, ...], out: np.ndarray) -> None:
        n, segments, _ = case.weight.shape
        packed = (pack_int8 if bits == 8 else pack_int4)(case.weight, self.layout)
        held = (
            aligned(packed),
            pack_bias(case.bias, case.weight, self.layout),
            pack_vector(case.multiplier, self.layout),
        )
        x = aligned(np.concatenate([case.x, np.full(SPARE_BYTES, 255, np.uint8)]))
        stride = ctypes.c_ssize_t
        getattr(self.shared_object, function)(
            pointer(x), case.rows, stride(case.x_stride), segments, stride(case.segment_stride), case.padded_run,
            pointer(held[0]), pointer(held[1]), pointer(held[2]), n, *limits, pointer(out), stride(out.shape[1]),
        )  # fmt: skip

    def integers(self, name: str, case: Case, lo: float, hi: float, bits: int = 8) -> np.ndarray:
        """(rows, N), and behind each row two bytes that nobody may touch."""
        out = np.full((case.rows, len(case.weight) + 2), 77, np.uint8)
        limits = (ctypes.c_float(lo), ctypes.c_float(hi), case.zero)
        self._call(f"qdense{'4' if bits == 4 else ''}_u8_{name}", case, bits, limits, out)
        assert (out[:, -2:] == 77).all()
        return out[:, :-2]

    def values(self, name: str, case: Case, bits: int = 8) -> np.ndarray:
        out = np.full((case.rows, len(case.weight) + 2), np.float32(77))
        self._call(f"qdense{'4' if bits == 4 else ''}_f32_{name}", case, bits, (), out)
        assert (out[:, -2:] == 77).all()
        return out[:, :-2]

    def floats(
        self, name: str, weight: np.ndarray, bias: np.ndarray, x: np.ndarray, strides: tuple[int, int], rows: int
    ) -> np.ndarray:
        """``pp_fdense``: (rows, N) for weights (N, segments, run); strides of a row and of a segment in floats."""
        n, segments, run = weight.shape
        out = np.full((rows, n + 2), np.float32(77))
        held = aligned(pack_float(weight, self.layout)), pack_vector(bias, self.layout)
        stride = ctypes.c_ssize_t
        getattr(self.shared_object, f"fdense_{name}")(
            pointer(x), rows, stride(strides[0]), segments, stride(strides[1]), run,
            pointer(held[0]), pointer(held[1]), n, pointer(out), stride(n + 2),
        )  # fmt: skip
        assert (out[:, -2:] == 77).all()
        return out[:, :-2]

    def map(self, function: str, x: np.ndarray) -> np.ndarray:
        """An exported (x, n, out) function of floats."""
        out = np.empty_like(x)
        getattr(self.shared_object, function)(pointer(x), x.size, pointer(out))
        return out


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def aligned(array: np.ndarray) -> np.ndarray:
    """A copy that starts at a multiple of 64 bytes, as constants in generated code do."""
    room = np.empty(array.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
