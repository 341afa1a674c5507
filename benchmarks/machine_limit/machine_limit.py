"""What this machine could do at most, measured: the yardstick that a kernel's time is held against.

A forward pass must read every packed weight once, and do every multiply-accumulate once. The limit of its time is the
larger of the two, at the bandwidth of the cache level that the weights fit and at the peak of the unit that multiplies
them, both measured here on one core, in the same run as what is compared with them (``limit.c``: widest loads, and
operands that stay in registers). Where the processor has AMX, 8-bit products of many rows (a batch, or the pixels of an
image) are held against its peak, which is many times that of vectors; those of a lone row against that of vectors,
since a tile would be all but empty.

    python benchmarks/machine_limit/machine_limit.py
"""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("limit.c")
STEP_BYTES = 512
TILES = "amx"
LEVELS = (("L1", 24 << 10), ("L2", 512 << 10), ("L3", 16 << 20), ("memory", 1 << 30))
"""A working set that the level of that name holds, on most machines."""


@dataclass(frozen=True)
class MachineLimit:
    """Measured upper bounds of one core.

    Attributes:
        unit: the instruction set, named as the kernels are (``avx512vnni``, ``dotprod``, ...).
        packed_bytes: the working set.
        read_bytes_per_s: bandwidth at which it is read again and again.
        int8_macs_per_s: multiply-accumulates of bytes into int32 per second.
        fp32_macs_per_s: fused multiply-adds of floats per second.
        tile_macs_per_s: as ``int8_macs_per_s``, where there are many rows: AMX's, or the same.
    """

    unit: str
    packed_bytes: int
    read_bytes_per_s: float
    int8_macs_per_s: float
    fp32_macs_per_s: float
    tile_macs_per_s: float

    def limit_s(self, macs: int, kind: str = "int8", *, of_many_rows: int = 0) -> float:
        """The least time of one pass over the weights.

        Args:
            macs: multiply-accumulates in all.
            kind: ``"int8"`` or ``"fp32"``.
            of_many_rows: how many of ``macs`` are of several rows by the same weights; for ``"int8"``.
        """
        peak, many = {
            "int8": (self.int8_macs_per_s, self.tile_macs_per_s),
            "fp32": (self.fp32_macs_per_s, self.fp32_macs_per_s),
        }[kind]
        products_s = (macs - of_many_rows) / peak + of_many_rows / many
        return max(self.packed_bytes / self.read_bytes_per_s, products_s)


class Meter:
    """The compiled microbenchmark.

    Args:
        compiler: a C compiler that takes gcc's options.
    """

    def __init__(self, compiler: str = "cc") -> None:
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "limit.so"
            command = [compiler, "-O2", "-std=gnu99", "-shared", "-fPIC", str(SOURCE), "-o", str(library)]
            subprocess.run(command, check=True)
            self._library = ctypes.CDLL(str(library))
        self._library.widest_unit.restype = ctypes.c_char_p
        self._library.read_bytes_per_s.restype = ctypes.c_double
        self._library.peak_macs_per_s.restype = ctypes.c_double
        self.unit: str = self._library.widest_unit().decode()
        """The widest instruction set here that the kernels use."""
        if not self.unit:
            raise SystemExit("no microbenchmark for this processor: x86-64 with AVX2, or aarch64")

    def read_bytes_per_s(self, working_set_bytes: int, *, unit: str | None = None, seconds: float = 0.2) -> float:
        """Bandwidth of reading a working set of that size over and over, the best of many passes."""
        size = -(-working_set_bytes // STEP_BYTES) * STEP_BYTES
        room = ctypes.create_string_buffer(size + 64)
        ctypes.memset(room, 1, size + 64)  # So that every page is there, and not the one page of zeros.
        start = ctypes.addressof(room) + -ctypes.addressof(room) % 64
        name = (unit or self.unit).encode()
        return float(
            self._library.read_bytes_per_s(
                name, ctypes.c_void_p(start), ctypes.c_size_t(size), ctypes.c_double(seconds)
            )
        )

    def macs_per_s(self, kind: str, *, unit: str | None = None, seconds: float = 0.2) -> float:
        """Peak of ``"int8"`` or ``"fp32"`` multiply-accumulates."""
        floats = {"int8": 0, "fp32": 1}[kind]
        name = (unit or self.unit).encode()
        return float(self._library.peak_macs_per_s(name, floats, ctypes.c_double(seconds)))

    def measure(self, packed_bytes: int, *, unit: str | None = None, seconds: float = 0.2) -> MachineLimit:
        """The bounds for weights of that many bytes; ``seconds`` for each of the four."""
        vectors = self.macs_per_s("int8", unit=unit, seconds=seconds)
        tiles = self.macs_per_s("int8", unit=TILES, seconds=seconds) if unit is None else 0.0
        return MachineLimit(
            unit or self.unit,
            packed_bytes,
            self.read_bytes_per_s(packed_bytes, unit=unit, seconds=seconds),
            vectors,
            self.macs_per_s("fp32", unit=unit, seconds=seconds),
            tiles or vectors,
        )


def table(meter: Meter, seconds: float) -> str:
    """Bandwidth of each level and the two peaks, as Markdown."""
    rows = [f"| read, {name} ({size >> 10} KiB) | {meter.read_bytes_per_s(size, seconds=seconds) / 1e9:.0f} GB/s |"
            for name, size in LEVELS]  # fmt: skip
    tiles = meter.macs_per_s("int8", unit=TILES, seconds=seconds)
    rows += [f"| int8 peak, {TILES} | {tiles / 1e9:.0f} GMAC/s |"] if tiles else []
    rows += [
        f"| {kind} peak | {meter.macs_per_s(kind, seconds=seconds) / 1e9:.0f} GMAC/s |" for kind in ("int8", "fp32")
    ]
    return "\n".join([f"| one core, {meter.unit} | |", "|---|---|", *rows])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compiler", default="cc")
    parser.add_argument("--seconds", type=float, default=0.5, help="for each figure")
    options = parser.parse_args(arguments)
    print(table(Meter(options.compiler), options.seconds))


if __name__ == "__main__":
    main()
