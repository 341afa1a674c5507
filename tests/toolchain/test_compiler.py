"""Finding a compiler, and what is said where there is none."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from policypress_runtime.errors import NativeBuildError, UnusableCompilerError
from policypress_runtime.runtimes.loading import resolved
from policypress_runtime.toolchain import compiler as compiler_module
from policypress_runtime.toolchain.compiler import Compiler, check_compiler, find_compiler, python_abi


def program(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_the_named_compiler_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = program(tmp_path, "mine", "exit 0")
    monkeypatch.setenv("CC", f"{mine} -fno-such")
    monkeypatch.setenv("CFLAGS", "-g -DX='a b'")
    found = find_compiler()
    assert found.command == (str(mine), "-fno-such")
    assert found.options == ("-g", "-DX=a b")
    monkeypatch.delenv("CFLAGS")
    assert find_compiler().options == ()
    assert find_compiler().identity() != found.identity()


@pytest.mark.parametrize("name", ["no-such-compiler", "/no/such/compiler", "   "])
def test_a_named_compiler_that_is_absent(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", name)
    with pytest.raises(NativeBuildError, match=r"no C compiler[\s\S]*CC=[\s\S]*ONNX Runtime"):
        find_compiler()


def test_the_path_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NativeBuildError, match="none of cc, gcc, clang"):
        find_compiler()
    clang = program(tmp_path, "clang", "exit 0")
    assert find_compiler().command == (str(clang),)
    gcc = program(tmp_path, "gcc", "exit 0")
    assert find_compiler().command == (str(gcc),)


def test_without_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", str(program(tmp_path, "mine", "exit 0")))
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    with pytest.raises(NativeBuildError, match=r"headers are not installed[\s\S]*Python.h"):
        find_compiler()
    assert find_compiler(headers=False).include is None


def test_another_compiler_is_another_identity(tmp_path: Path) -> None:
    first = Compiler((str(program(tmp_path, "a", "exit 0")),), tmp_path)
    second = Compiler((str(program(tmp_path, "b", "exit 0")),), tmp_path)
    assert first.identity() == first.identity()
    assert first.identity() != second.identity()
    assert Compiler((*first.command, "-O0"), tmp_path).identity() != first.identity()
    program(tmp_path, "a", "exit 0 # upgraded")
    assert first.identity() != Compiler((str(tmp_path / "b"),), tmp_path).identity()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'x.c:1: error: wrong' >&2; exit 1", "x.c:1: error: wrong"),
        ("exit 3", "exit status 3"),
        ("exit 0", "exit status 0"),
    ],
)
def test_a_compiler_that_fails(script: str, said: str, tmp_path: Path) -> None:
    source = tmp_path / "x.c"
    source.write_text("")
    compiler = Compiler((str(program(tmp_path, "mine", script)),), tmp_path)
    with pytest.raises(NativeBuildError, match=said):
        compiler.build(source, tmp_path / "x.so")


@pytest.mark.parametrize("variable", ["CC", "CFLAGS"])
def test_what_does_not_parse_is_named(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "cc '")
    with pytest.raises(UnusableCompilerError, match=f"Correct {variable}") as refused:
        find_compiler(headers=False)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("script", ["exit 0", "exit 1", "sleep 60"])
def test_what_compiles_nothing_is_noticed_before_it_is_used(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler_module, "_CHECK_LIMIT_S", 0.5)
    path = program(tmp_path, "mine", script)
    with pytest.raises(UnusableCompilerError, match="unset CC"):
        check_compiler((str(path),))
    monkeypatch.setenv("CC", str(path))
    monkeypatch.delenv("POLICYPRESS_RUNTIME", raising=False)
    name, (notice,) = resolved("auto")
    assert name == "onnxruntime"
    assert "cannot compile anything" in notice
    with pytest.raises(UnusableCompilerError):
        resolved("native")


def test_a_compiler_that_does_not_run(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_bytes(b"\x7fELF nonsense")
    path.chmod(0o755)
    with pytest.raises(NativeBuildError, match="did not run"):
        Compiler((str(path),), tmp_path).build(tmp_path / "x.c", tmp_path / "x.so")


def test_the_binary_interface_names_the_interpreter() -> None:
    assert str(sysconfig.get_config_var("EXT_SUFFIX")) in python_abi()
