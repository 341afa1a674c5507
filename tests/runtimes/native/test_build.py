"""Building: from the cache where it can be, and a reason where nothing can be built."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import helper
from small_policies import mlp, observations_of
from written_artifacts import written

from policypress_runtime.errors import ArtifactError, NativeBuildError
from policypress_runtime.runtimes.native import build
from policypress_runtime.runtimes.native.build import built_module
from policypress_runtime.runtimes.native.native_runtime import NativeRuntime
from policypress_runtime.toolchain.cache import Cache
from policypress_runtime.toolchain.compiler import find_compiler


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An artifact; the test is skipped where nothing can be built."""
    try:
        find_compiler()
    except NativeBuildError as error:
        pytest.skip(str(error))
    return written(mlp(), tmp_path_factory.mktemp("artifact") / "a.onnx").read_bytes()


def with_operator(content: bytes, kind: str) -> bytes:
    """The artifact with one more operator before its action."""
    model = onnx.load_from_string(content)
    last = next(node for node in model.graph.node if "action" in node.output)
    last.output[0] = "before"
    model.graph.node.append(helper.make_node(kind, ["before"], ["action"], name="strange"))
    return model.SerializeToString()


def test_the_second_time_nothing_runs(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path / "cache")
    first, contract = built_module(content, "a", cache)
    assert contract.inputs[0].shape == (5,)
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: pytest.fail("something was run"))
    assert built_module(content, "a", cache)[0] == first


def test_a_damaged_module_is_built_again(content: bytes, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    path, _ = built_module(content, "a", cache)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    again, _ = built_module(content, "a", cache)
    assert again.stat().st_size == len(whole)
    runtime = NativeRuntime(content, cache)
    assert runtime.act(observations_of(mlp().observation_space, 1)[0]).shape == (3,)


def test_an_operator_without_a_c_form_is_named_and_remembered(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path / "cache")
    strange = with_operator(content, "Acosh")
    with pytest.raises(NativeBuildError, match=r"no native form[\s\S]*Acosh[\s\S]*strange"):
        built_module(strange, "a", cache)
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: pytest.fail("something was run"))
    with pytest.raises(NativeBuildError, match=r"no native form[\s\S]*Acosh[\s\S]*strange"):
        built_module(strange, "a", cache)


def test_a_generator_that_does_not_run(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is no fault of the artifact, so nothing is remembered."""
    cache = Cache(tmp_path / "cache")
    for executable, said in (("", "needs a Python"), ("/no/such/python", "did not run"), ("/bin/false", "failed")):
        monkeypatch.setattr(sys, "executable", executable)
        with pytest.raises(NativeBuildError, match=said):
            built_module(content, "a", cache)
    assert cache.size_bytes() == 0


def test_a_compiler_that_fails_leaves_nothing(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path / "cache")
    monkeypatch.setenv("CC", "/bin/false")
    with pytest.raises(NativeBuildError, match="cannot compile anything"):
        built_module(content, "a", cache)
    assert cache.size_bytes() == 0


@pytest.mark.parametrize("broken", [b"", b"not onnx", bytes(100)])
def test_no_artifact(broken: bytes, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="not ONNX"):
        built_module(broken, "a", Cache(tmp_path / "cache"))


def test_what_decides_the_key(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = find_compiler()
    key = build.module_key(content, compiler)
    assert key == build.module_key(content, compiler)
    assert key != build.module_key(content + b"\x00", compiler)
    monkeypatch.setattr(build, "generator_version", lambda: "another")
    assert key != build.module_key(content, compiler)


def test_processes_that_build_at_once(content: bytes, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from policypress_runtime.runtimes.native.native_runtime import NativeRuntime\n"
        "print(NativeRuntime(Path(sys.argv[1])).act([0.0] * 5).tolist())\n"
    )
    artifact = tmp_path / "a.onnx"
    artifact.write_bytes(content)
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-c", code, str(artifact)]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    assert told[0][0] == told[1][0]
