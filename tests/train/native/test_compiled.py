"""The C builds without a warning and runs without a fault, and its products are right with every kernel set."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from native_updates import needs
from policypress_runtime.errors import NativeBuildError, NativeUpdateError, TrainingInputError
from policypress_runtime.toolchain.cache import Cache
from policypress_runtime.toolchain.compiler import find_compiler
from policypress_train.native import compiled
from policypress_train.native.compiled import SETS, SOURCE, built, library, load, sets_here
from policypress_train.native.layout import Rollout, Update

NAMES = [kernels.name for kernels in SETS]
DRIVER = Path(__file__).with_name("drive.c")


def loaded(name: str) -> ctypes.CDLL:
    found = load(built(find_compiler(headers=False), needs(name)))
    if not found.pp_supported():
        pytest.skip(f"the system does not let {name} run")
    return found


def row_floats(width: int) -> int:
    """From one row to the next in a matrix of scratch memory, ``pp_stride`` in C."""
    return -(-width // 32) * 32 + 16


def product(found: ctypes.CDLL, left: Any, right: Any, transposed: tuple[bool, bool], exact: int = 0) -> Any:
    """left · right by the kernels, handed in as they are or transposed."""
    (rows, depth), columns = left.shape, right.shape[1]
    handed = [np.ascontiguousarray(x.T if turned else x) for x, turned in zip((left, right), transposed, strict=True)]
    scratch = np.zeros(found.pp_product_bytes(rows, depth, columns) + 64, np.uint8)
    out = np.zeros((-(-rows // 16) * 16, row_floats(columns)), np.float32)
    padded = np.zeros(out.size + 16, np.float32)
    result = padded[(-padded.ctypes.data % 64) // 4 :][: out.size].reshape(out.shape)
    indices = (handed[0].ctypes.data, handed[1].ctypes.data)
    start = scratch.ctypes.data + (-scratch.ctypes.data % 64)
    found.pp_product(*indices, rows, depth, columns, *transposed, exact, start, result.ctypes.data)
    return result[:rows, :columns]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 100), st.integers(1, 70)),
    transposed=st.tuples(st.booleans(), st.booleans()),
    seed=st.integers(0, 2**32 - 1),
)
def test_products_are_right(name: str, shape: tuple[int, int, int], transposed: tuple[bool, bool], seed: int) -> None:
    rows, depth, columns = shape
    generator = np.random.default_rng(seed)
    left = generator.normal(size=(rows, depth)).astype(np.float32)
    right = generator.normal(size=(depth, columns)).astype(np.float32)
    found = product(loaded(name), left, right, transposed)
    exact = left.astype(np.float64) @ right.astype(np.float64)
    sizes = np.abs(left).astype(np.float64) @ np.abs(right)
    # Two bfloat16 numbers to a float leave 2^-14.4 of each product out; float32 sums, a unit in the last place of each.
    share = 2**-14.4 if name == "amx" else 2**-24
    assert np.all(np.abs(found - exact) <= (share + depth * 2**-24) * sizes)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_product_twice_is_the_same_to_the_bit(name: str) -> None:
    generator = np.random.default_rng(0)
    left, right = generator.normal(size=(2, 100, 100)).astype(np.float32)
    first, second = (product(loaded(name), left, right, (False, True)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_python_and_c_mean_the_same_structures() -> None:
    assert ctypes.sizeof(Update) == loaded("plain").pp_update_bytes()
    assert ctypes.sizeof(Rollout) == loaded("plain").pp_rollout_bytes()


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("name", NAMES)
def test_no_compiler_warns(compiler: str, name: str) -> None:
    command = shutil.which(compiler)
    if command is None or not needs(name):
        pytest.skip(f"{compiler} is not installed")
    strict = ("-Wall", "-Wextra", "-Wconversion", "-Werror", "-std=c11", "-pedantic", "-O1", "-fsyntax-only")
    flags = next(kernels.flags for kernels in SETS if kernels.name == name)
    done = subprocess.run([command, *strict, *flags, str(SOURCE)], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_read_or_written_outside_what_was_handed_in(name: str, tmp_path: Path) -> None:
    command = shutil.which("gcc") or shutil.which("clang")
    if command is None:
        pytest.skip("neither gcc nor clang is installed")
    program, flags = tmp_path / "drive", needs(name).flags
    sanitizers = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    build = [command, "-O0", *sanitizers, *flags, f"-I{SOURCE.parent}", str(DRIVER), "-o", str(program), "-lm"]
    made = subprocess.run(build, capture_output=True, text=True, timeout=200)
    if made.returncode != 0 and "sanitize" in made.stderr + made.stdout:
        pytest.skip("this compiler has no sanitizers")
    assert made.returncode == 0, made.stderr
    # What it takes, it keeps to its end.
    surroundings = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=200, env=surroundings)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("finite")


def test_it_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, compiler = Cache(tmp_path / "cache"), find_compiler(headers=False)
    first = built(compiler, SETS[-1], cache)
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: pytest.fail("something was run"))
    assert built(compiler, SETS[-1], cache) == first


def test_without_a_compiler_the_other_update_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    library.cache_clear()
    with pytest.raises(TrainingInputError, match=r"cannot be built here[\s\S]*no-such-compiler[\s\S]*--update fast"):
        library()
    library.cache_clear()


def test_a_compiler_that_refuses_the_best_kernels_builds_others(monkeypatch: pytest.MonkeyPatch) -> None:
    original, asked = compiled.built, []

    def refusing(compiler: Any, kernels: Any) -> Path:
        asked.append(kernels.name)
        if kernels.name != "plain":
            raise NativeBuildError("The C compiler refused the generated file.")
        return original(compiler, kernels)

    monkeypatch.setattr(compiled, "built", refusing)
    library.cache_clear()
    assert library()[1] == "plain"
    assert asked[-1] == "plain"
    library.cache_clear()


def test_pinned_kernels_are_those_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for kernels in sets_here():
        assert library(kernels.name)[1] == kernels.name
    monkeypatch.setattr(compiled, "features_here", frozenset)
    with pytest.raises(NativeUpdateError, match=r"does not have the kernels[\s\S]*kernels avx2[\s\S]*plain\n"):
        library.__wrapped__("avx2")
    assert library.__wrapped__("plain")[1] == "plain"


def test_what_is_no_library_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "update.so"
    path.write_bytes(b"nothing")
    with pytest.raises(NativeBuildError, match="cannot be loaded"):
        load(path)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(divisor=st.floats(2.0**-40, 2.0**20, width=32), seed=st.integers(0, 2**32 - 1))
def test_what_is_rounded_was_divided_to_the_bit(name: str, divisor: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    halves = (np.arange(-300, 300) + np.float32(0.5)) * np.float32(divisor)  # where a bit decides an integer
    beside = [halves, np.nextafter(halves, np.float32(-np.inf)), np.nextafter(halves, np.float32(np.inf))]
    anywhere = generator.standard_normal(2000) * 10.0 ** generator.uniform(-4, 4, 2000) * divisor
    numbers = np.concatenate([*beside, anywhere, [0.0, divisor]]).astype(np.float32)
    found = np.full_like(numbers, np.nan)
    loaded(name).pp_quotients(numbers.ctypes.data, len(numbers), divisor, found.ctypes.data)
    np.testing.assert_array_equal(found, numbers / np.float32(divisor))
