"""Callers that hand the extension module what it does not expect: it refuses, and never crashes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from small_policies import ACTIONS, KINDS, observations_of, quantized, wide
from written_artifacts import written

from kernels_here import PLAIN_ALONE
from policypress.policy.policy import Policy
from policypress_runtime.errors import NativeBuildError
from policypress_runtime.runtimes.native.build import build_module, contract_of
from policypress_runtime.toolchain.compiler import Compiler, find_compiler

SCRIPT = Path(__file__).with_name("hostile_calls.py")
CALLS = re.findall(r"^def ([a-z_]+)\(\) -> None:$", SCRIPT.read_text(), re.MULTILINE)
CALLS.remove("refuse")
SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
# Python keeps what it allocates for its own lifetime, and sees a failed allocation as MemoryError.
SETTINGS = "detect_leaks=0:allocator_may_return_null=1:abort_on_error=0"


def compiler() -> Compiler:
    try:
        return find_compiler()
    except NativeBuildError as error:
        pytest.skip(str(error))


def policies() -> dict[str, Policy]:
    box = KINDS["mlp"](ACTIONS["box"])
    return {
        "box": quantized(box, observations_of(box.observation_space, 64)),
        "parts": KINDS["mixed"](ACTIONS["discrete"]),
        "wide": wide(),
    }


def built(folder: Path, *options: str) -> Path:
    """The modules that the calls are made to, built with ``options``."""
    found = compiler()
    for name, policy in policies().items():
        model = written(policy, folder / f"{name}.onnx").read_bytes()
        (folder / name).mkdir()
        # One kernel set of four compiles in a quarter of the time; one module has them all.
        sets = () if name == "box" else PLAIN_ALONE
        with_options = replace(found, options=("-O1", *sets, *options))
        module = build_module(model, contract_of(model, name), name, folder / name, with_options)
        shutil.move(module, folder / f"{name}.so")
    return folder


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The modules under sanitizers, and the library that has to be loaded before everything else."""
    asked = [*compiler().command, "-print-file-name=libasan.so"]
    library = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    if not Path(library).is_absolute() or not Path(library).exists():
        pytest.skip("this compiler has no address sanitizer that can be loaded into Python")
    return built(tmp_path_factory.mktemp("sanitized"), *SANITIZERS), str(Path(library).resolve())


def made(folder: Path, call: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The call in a process of its own, which says so where everything was refused as it should be."""
    command = [sys.executable, "-P", "-X", "faulthandler", str(SCRIPT), str(folder), call]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env={**os.environ, **environment}
    )


@pytest.mark.parametrize("call", CALLS)
def test_the_module_refuses(call: str, modules: Path) -> None:
    done = made(modules, call)
    assert (done.returncode, done.stdout) == (0, "went well\n"), done.stderr[-4000:]


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
def test_the_module_refuses_under_sanitizers(call: str, sanitized: tuple[Path, str]) -> None:
    folder, library = sanitized
    done = made(folder, call, LD_PRELOAD=library, ASAN_OPTIONS=SETTINGS, UBSAN_OPTIONS="print_stacktrace=1")
    assert (done.returncode, done.stdout) == (0, "went well\n"), done.stderr[-4000:]
