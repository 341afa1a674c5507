"""Loading: from any file to an artifact or a reason; light enough for a small computer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from small_policies import finished, mlp, observations_of
from written_artifacts import written

from policypress.policy import layers
from policypress.policy.policy import GraphBuilder
from policypress.writers.onnx_writer import contract_of, embed_contract, to_onnx
from policypress_runtime.contract import METADATA_KEY, box
from policypress_runtime.errors import ArtifactError, InputError, NativeBuildError
from policypress_runtime.runtimes.loading import VARIABLE, load_artifact, load_model, resolved
from policypress_runtime.runtimes.protocol import RuntimeChoice
from policypress_runtime.toolchain.compiler import find_compiler


def test_loads_by_path_and_by_text(tmp_path: Path) -> None:
    path = written(mlp(), tmp_path / "policy.onnx")
    observation = observations_of(mlp().observation_space, 1)[0]
    np.testing.assert_array_equal(load_artifact(path).act(observation), load_artifact(str(path)).act(observation))


@pytest.fixture
def automatic(monkeypatch: pytest.MonkeyPatch) -> None:
    """What users have; the suite itself sets the variable."""
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def no_compiler(automatic: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a compiler."""
    monkeypatch.setenv("CC", "no-such-compiler")


@pytest.mark.usefixtures("automatic")
def test_native_where_there_is_a_compiler(tmp_path: Path) -> None:
    try:
        find_compiler()
    except NativeBuildError as error:
        pytest.skip(str(error))
    path = written(mlp(), tmp_path / "policy.onnx")
    runtime = load_artifact(path)
    assert (runtime.name, runtime.notices) == ("native", ())
    assert load_model(path.read_bytes()).name == "native"
    assert resolved("auto") == resolved("native") == ("native", ())
    assert resolved("onnxruntime") == ("onnxruntime", ())
    assert load_artifact(path, "onnxruntime").name == "onnxruntime"


@pytest.mark.usefixtures("no_compiler")
def test_onnx_runtime_takes_over_and_says_so(tmp_path: Path) -> None:
    path = written(mlp(), tmp_path / "policy.onnx")
    runtime = load_artifact(path)
    assert runtime.name == "onnxruntime"
    (notice,) = runtime.notices
    assert "instead of the native runtime" in notice
    assert "no C compiler" in notice
    assert resolved("auto") == ("onnxruntime", (notice,))
    assert load_artifact(path, "onnxruntime").notices == ()
    for call in (lambda: load_artifact(path, "native"), lambda: resolved("native")):
        with pytest.raises(NativeBuildError, match=r"no C compiler[\s\S]*no-such-compiler"):
            call()


@pytest.mark.usefixtures("automatic")
def test_without_a_folder_to_keep_modules_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    name, (notice,) = resolved("auto")
    loaded = load_artifact(written(mlp(), tmp_path / "policy.onnx"))
    assert loaded.name == name
    assert loaded.notices == (notice,)
    if name == "native":  # else there is no compiler here
        assert "cached for this run only" in notice
        assert str(tmp_path / "file") in notice


def test_the_variable_says_what_auto_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(mlp(), tmp_path / "policy.onnx")
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setenv(VARIABLE, "onnxruntime")
    assert load_artifact(path).notices == ()
    monkeypatch.setenv(VARIABLE, "native")
    with pytest.raises(NativeBuildError):
        load_artifact(path)
    monkeypatch.setenv(VARIABLE, "tensorflow")
    with pytest.raises(InputError, match=r"POLICYPRESS_RUNTIME=tensorflow[\s\S]*auto, native, onnxruntime"):
        load_artifact(path)


@pytest.mark.parametrize("name", ["absent.onnx", "folder", "absent/policy.onnx", ""])
def test_there_is_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ArtifactError, match="no artifact at this path"):
        load_artifact(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"not onnx", b"PK\x03\x04", b"\x08\x09", bytes(1000), b"{}"])
def test_other_files(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "policy.onnx"
    path.write_bytes(content)
    with pytest.raises(ArtifactError):
        load_artifact(path)


def test_onnx_from_elsewhere_has_no_contract(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    path = tmp_path / "foreign.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ArtifactError, match=r"no policypress contract[\s\S]*export"):
        load_artifact(path)


@pytest.mark.parametrize(
    "contract",
    ["", "{", "[]", "null", "3", '"text"', "{}", '{"schema": 99}', '{"schema": 1}', '{"schema": 1, "inputs": 3}'],
)
def test_contracts_that_are_none(contract: str, tmp_path: Path) -> None:
    model = to_onnx(mlp())
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, contract
    path = tmp_path / "policy.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ArtifactError):
        load_artifact(path)


@pytest.mark.parametrize("field", ["inputs", "outputs", "observation_space", "action_space", "environment"])
@pytest.mark.parametrize("value", [3, "text", [], {}, [3], {"kind": "box"}, [{"name": "x"}]])
def test_contracts_with_fields_of_another_form(field: str, value: object, tmp_path: Path) -> None:
    policy = mlp()
    model = to_onnx(policy)
    data = {**contract_of(policy, "none", "", "fp32", "0").to_json(), field: value}
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, json.dumps(data)
    path = tmp_path / "policy.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ArtifactError):
        load_artifact(path)


@pytest.mark.parametrize("runtime", ["onnxruntime", "native", "auto"])
def test_two_contracts_are_refused_under_every_runtime(runtime: RuntimeChoice, tmp_path: Path) -> None:
    """Programs would read different ones: an action space that one of them refuses, say."""
    policy = mlp()
    model = to_onnx(policy)
    for recipe in ("none", "int8"):
        text = json.dumps(contract_of(policy, recipe, "", "fp32", "0").to_json())
        model.metadata_props.add(key=METADATA_KEY, value=text)
    path = tmp_path / "policy.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ArtifactError, match="several contracts"):
        load_artifact(path, runtime)


def test_contract_of_another_graph(tmp_path: Path) -> None:
    """Names or shapes that the graph does not have: refused when loaded, not when acted with."""
    graph = GraphBuilder()
    wide = finished(
        graph, box((8,), "float32", -1, 1), mlp().action_space, graph.add("h", layers.Linear(8, 8), "observation")
    )
    model = to_onnx(mlp())
    embed_contract(model, contract_of(wide, "none", "", "fp32", "0"))
    path = tmp_path / "policy.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ArtifactError, match="does not fit its graph"):
        load_artifact(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(seed=st.integers(0, 2**31 - 1), kind=st.sampled_from(["flip", "cut", "insert"]))
def test_damage_is_an_artifact_error_or_harmless(seed: int, kind: str, tmp_path: Path) -> None:
    content = bytearray(written(mlp(), tmp_path / "policy.onnx").read_bytes())
    rng = np.random.default_rng(seed)
    match kind:
        case "flip":
            for place in rng.integers(len(content), size=3).tolist():
                content[place] ^= int(rng.integers(1, 256))
        case "cut":
            del content[int(rng.integers(len(content))) :]
        case "insert":
            content[int(rng.integers(len(content))) : 0] = rng.bytes(7)
    path = tmp_path / "damaged.onnx"
    path.write_bytes(content)
    try:
        runtime = load_artifact(path)
    except ArtifactError:
        return
    # A flipped bit of a weight shows in no check: what remains must still act on a good observation.
    assert runtime.act(np.zeros(5, np.float32)).shape == (3,)


FRESH = """
import pathlib, re, sys
from policypress_runtime.runtimes.loading import load_artifact
import numpy as np
runtime = load_artifact(sys.argv[1], sys.argv[2])
for _ in range(100):
    action = runtime.act(np.zeros(17, np.float32))
assert action.shape == (6,), action
assert runtime.name == sys.argv[2]
names = ["torch", "pydantic", "gymnasium", "onnx", "scipy", "pandas"]
names += ["onnxruntime"] if sys.argv[2] == "native" else []
heavy = [name for name in names if name in sys.modules]
# Not getrusage: its peak is inherited from the process that forked this one.
peak_kib = re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]
print(int(peak_kib) * 1024, ",".join(heavy))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.parametrize(("runtime", "limit_bytes"), [("onnxruntime", 60 << 20), ("native", 40 << 20)])
def test_a_fresh_process_stays_small(runtime: str, limit_bytes: int, tmp_path: Path) -> None:
    """A HalfCheetah actor (17 → 256 → 256 → 8 → 6): its peak is below the limit, and nothing heavy is imported.

    The native module is built by the first process; the second one finds it.
    """
    graph = GraphBuilder()
    value = graph.add("hidden", layers.Linear(17, 256), "observation")
    value = graph.add("hidden", layers.Linear(256, 256), graph.add("relu", layers.Activation("relu"), value))
    value = graph.add("relu", layers.Activation("relu"), value)
    space = box((17,), "float32", -np.inf, np.inf)
    policy = finished(graph, space, box((6,), "float32", -1, 1), graph.add("narrow", layers.Linear(256, 8), value))
    path = written(policy, tmp_path / "policy.onnx")
    try:
        find_compiler()
    except NativeBuildError as error:
        if runtime == "native":
            pytest.skip(str(error))
    command = [sys.executable, "-c", FRESH, str(path), runtime]
    subprocess.run(command, capture_output=True, check=False)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peak_bytes, heavy = done.stdout.rstrip("\n").split(" ")
    assert heavy == ""
    assert int(peak_bytes) < limit_bytes


def test_the_model_is_checked_before_it_is_trusted(tmp_path: Path) -> None:
    """A model whose weight is missing does not load."""
    model = to_onnx(mlp())
    embed_contract(model, contract_of(mlp(), "none", "", "fp32", "0"))
    del model.graph.initializer[0]
    path = tmp_path / "policy.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ArtifactError, match="cannot load"):
        load_artifact(path)
    assert isinstance(model, onnx.ModelProto)
