"""What the native update's products cost and how exact they are, with every kernel set of this processor.

CPU time of a product with the packing of both operands, the least of several; the largest error, as a share of the sum
of the terms' magnitudes, against the product in float64.

    python benchmarks/native_products.py
"""

from __future__ import annotations

import ctypes
import time

import numpy as np

from policypress_runtime.toolchain.compiler import find_compiler
from policypress_train.native.compiled import built, load, sets_here

SHAPES = ((256, 256, 256), (256, 17, 256), (256, 400, 300), (256, 376, 256))
REPEATS, TURNS = 50, 10


def measured(library: ctypes.CDLL, shape: tuple[int, int, int]) -> tuple[float, float]:
    """Seconds and error of one product of (rows × depth) and (depth × columns)."""
    rows, depth, columns = shape
    generator = np.random.default_rng(0)
    left = generator.normal(size=(rows, depth)).astype(np.float32)
    right = generator.normal(size=(depth, columns)).astype(np.float32)
    stride = -(-columns // 32) * 32 + 16
    memory = np.zeros(library.pp_product_bytes(rows, depth, columns) + 4 * stride * (rows + 16) + 128, np.uint8)
    result = memory.ctypes.data + (-memory.ctypes.data) % 64
    scratch = result + 4 * stride * (rows + 16)
    scratch += (-scratch) % 64
    taken_s = []
    for _ in range(TURNS):
        start_s = time.process_time()
        for _ in range(REPEATS):
            library.pp_product(left.ctypes.data, right.ctypes.data, rows, depth, columns, 0, 0, 0, scratch, result)
        taken_s.append((time.process_time() - start_s) / REPEATS)
    begin = result - memory.ctypes.data
    found = memory[begin : begin + 4 * stride * rows].view(np.float32).reshape(rows, stride)[:, :columns]
    exact = left.astype(np.float64) @ right.astype(np.float64)
    sizes = np.abs(left).astype(np.float64) @ np.abs(right).astype(np.float64)
    return min(taken_s), float((np.abs(found - exact) / sizes).max())


def main() -> None:
    """Print a Markdown table."""
    print("| kernels | rows × depth × columns | µs | error |")
    print("|---|---|---|---|")
    for kernels in sets_here():
        library = load(built(find_compiler(headers=False), kernels))
        if library.pp_supported():
            for shape in SHAPES:
                seconds, error = measured(library, shape)
                print(f"| {kernels.name} | {' × '.join(map(str, shape))} | {1e6 * seconds:.0f} | {error:.1e} |")


if __name__ == "__main__":
    main()
