"""Standalone modules: they import and act where nothing but Python is, and are whole or not there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_policies import ACTIONS, KINDS, mlp, observations_of, quantized

from policypress.export import extension_module
from policypress.export.extension_module import module_name, publish_extension
from policypress.export.publish import ProvenArtifact, prove
from policypress.policy.policy import Policy
from policypress.writers.onnx_writer import contract_of, to_onnx
from policypress_runtime.contract import Contract
from policypress_runtime.errors import NativeBuildError, OutputError, ParityError
from policypress_runtime.runtimes.native.native_runtime import NativeRuntime
from policypress_runtime.toolchain.compiler import find_compiler

LIMIT_BYTES = 12 << 20
ACT = """
import re, sys
sys.path.insert(0, sys.argv[1])
import policy
from array import array
row = array("f", [0.5, -1.0, 2.0, 0.25, -0.125])
actions = [policy.act(form) for form in (row, row.tolist(), tuple(row), array("d", row), memoryview(row))]
assert len(set(actions)) == 1, actions
written = array("f", [0.0, 0.0, 0.0])
assert policy.act_into(row, written) == 0
assert tuple(written) == actions[0]
rows, many = row * 7, array("f", bytes(4 * 21))
assert policy.act_batch(rows, many) == 0
for wrong in (row[:4], [1.0], "text", None, 3, [0.0, 0.0, float("nan"), 0.0, 0.0], [0.0] * 4 + ["x"], {"a": row}):
    try:
        policy.act(wrong)
    except ValueError:
        continue
    raise AssertionError(wrong)
for call in (lambda: policy.act_into(row, array("f", [0.0])), lambda: policy.act_batch(rows, many[:3]),
             lambda: policy.act_batch(row[:4], many), lambda: policy.act_into(row, array("d", [0.0] * 3))):
    try:
        call()
    except ValueError:
        continue
    raise AssertionError("a wrong buffer was taken")
assert written[0] == actions[0][0]
heavy = [name for name in ("numpy", "policypress", "onnx", "onnxruntime", "torch") if name in sys.modules]
peak_kib = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]
import json
print(json.dumps([list(actions[0]), list(many), heavy, int(peak_kib) * 1024, policy.contract, policy.kernel()]))
"""


@pytest.fixture(autouse=True)
def _compiler() -> None:
    try:
        find_compiler()
    except NativeBuildError as error:
        pytest.skip(str(error))


def proven(policy: Policy) -> tuple[ProvenArtifact, object]:
    observations = observations_of(policy.observation_space, 64)
    return prove(to_onnx(policy), contract_of(policy, "none", "", "fp32", "0"), policy, observations), observations


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_it_acts_where_nothing_else_is(tmp_path: Path) -> None:
    policy = mlp()
    small = quantized(policy, observations_of(policy.observation_space, 64))
    artifact, observations = proven(small)
    publish_extension(artifact, observations, tmp_path / "policy.so")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ACT, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    action, many, heavy, peak_bytes, contract, kernel = json.loads(done.stdout)
    assert heavy == []
    assert peak_bytes < LIMIT_BYTES
    assert Contract.from_json(json.loads(contract)) == artifact.contract
    assert kernel
    runtime = NativeRuntime(artifact.model)
    row = np.array([0.5, -1.0, 2.0, 0.25, -0.125], np.float32)
    np.testing.assert_array_equal(np.float32(action), runtime.act(row))
    np.testing.assert_array_equal(np.float32(many).reshape(7, 3), runtime.act_batch(np.tile(row, (7, 1))))


DICT = """
import sys
sys.path.insert(0, sys.argv[1])
import policy
camera, speed, lamps = bytes(240), [0.0] * 5, bytearray(2)
camera = memoryview(camera).cast("B", (2, 12, 10))
print(policy.act({"camera": camera, "speed": speed, "gear": 2, "lamps": memoryview(lamps).cast("b")}))
"""


@pytest.mark.parametrize("action", ["discrete", "multi_binary"])
def test_dicts_and_integers(action: str, tmp_path: Path) -> None:
    policy = KINDS["mixed"](ACTIONS[action])
    artifact, observations = proven(policy)
    publish_extension(artifact, observations, tmp_path / "policy.so")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", DICT, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    parts = {"camera": np.zeros((2, 12, 10), np.uint8), "speed": np.zeros(5), "gear": 2, "lamps": np.zeros(2, np.int8)}
    assert done.stdout.strip() == str(
        tuple(want.tolist()) if isinstance(want := NativeRuntime(artifact.model).act(parts), np.ndarray) else want
    )


@pytest.mark.parametrize("name", ["my-policy.so", "Policy.so", "1.so", ".so", "class.so", "ä.so"])
def test_names_that_no_module_can_have(name: str) -> None:
    with pytest.raises(OutputError, match="cannot have this name"):
        module_name(Path(name))
    assert module_name(Path("folder/small_policy.so")) == "small_policy"


def test_nothing_is_written_unless_it_is_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact, observations = proven(mlp())
    other, _ = proven(mlp(hidden=9))
    real = extension_module.build_module
    monkeypatch.setattr(extension_module, "build_module", lambda model, *rest: real(other.model, *rest))
    with pytest.raises(ParityError):
        publish_extension(artifact, observations, tmp_path / "policy.so")
    assert list(tmp_path.iterdir()) == []
