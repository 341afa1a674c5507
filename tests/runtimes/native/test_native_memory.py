"""The native runtime with a memory: ONNX Runtime's steps, and a state that refusals leave alone."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from policypress.compression.pipeline import build_artifact
from policypress.compression.recipe import Recipe
from policypress.environments.memory.remembering import memory_of
from policypress.export.extension_module import publish_extension
from policypress.export.publish import ProvenArtifact
from policypress.policy.policy import Policy
from policypress_runtime.contract import Box, Discrete
from policypress_runtime.errors import ObservationError
from policypress_runtime.runtimes.native.native_runtime import NativeRuntime
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime
from policypress_runtime.toolchain.compiler import compiler_command
from recurrent_policies import INPUTS, MODULES, data_of, policy_of

pytestmark = pytest.mark.skipif(compiler_command() is None, reason="there is no C compiler on this machine")


class Scores(nn.Module):
    """Chooses by a GRU's output; counts its steps from 3 on."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.GRUCell(INPUTS, 4)

    def forward(self, x: Tensor, h: Tensor, count: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        after = self.memory(x, h)
        return after + 0.01 * count, after, count + 1


@pytest.fixture(scope="module")
def artifact() -> ProvenArtifact:
    torch.manual_seed(0)
    policy = policy_of("lstm", MODULES["lstm"](num_layers=2))
    return build_artifact(policy, Recipe.parse("equalize > int8"), data_of(policy)).artifact


@pytest.fixture(scope="module")
def choosing() -> ProvenArtifact:
    torch.manual_seed(0)
    space = Box((INPUTS,), "float32", (-math.inf,), (math.inf,))
    start = {"h": torch.zeros(1, 4), "count": torch.full((1, 1), 3.0)}
    policy = Policy.from_module(Scores(), space, Discrete(4), state=start)
    return build_artifact(policy, Recipe.parse("none"), data_of(policy)).artifact


@pytest.fixture(scope="module")
def native(artifact: ProvenArtifact) -> NativeRuntime:
    return NativeRuntime(artifact.model)


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_allclose(value, other[name], atol=1e-5)


def observations(steps: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(steps, INPUTS)).astype(np.float32)


def test_it_remembers_as_onnx_runtime_does(artifact: ProvenArtifact, native: NativeRuntime) -> None:
    other = OnnxRuntime(artifact.model)
    for _ in range(2):
        native.reset()
        other.reset()
        for seen in observations(30):
            np.testing.assert_allclose(native.act(seen), other.act(seen), atol=1e-5)
        same(native.state, other.state)


def test_a_batch_takes_and_gives_states(artifact: ProvenArtifact, native: NativeRuntime) -> None:
    met = data_of(artifact.policy).parity  # type: ignore[arg-type]
    before = native.state
    same(native.run_batch(met), OnnxRuntime(artifact.model).run_batch(met))
    same(native.state, before)
    with pytest.raises(ObservationError, match="state was not given"):
        native.run_batch(observations(3))
    with pytest.raises(ObservationError, match="different numbers of rows"):
        native.run_batch({**met, "c_in": met["c_in"][:2]})


def test_predict_is_that_of_the_other_runtime(choosing: ProvenArtifact) -> None:
    here, there = NativeRuntime(choosing.model), OnnxRuntime(choosing.model)
    state, other = None, None
    for step, seen in enumerate(observations(20).reshape(10, 2, INPUTS)):
        starts = [step == 4, False]
        action, state = here.predict(seen, state, starts)
        want, other = there.predict(seen, other, starts)
        np.testing.assert_array_equal(action, want)
    assert state is not None
    assert other is not None
    for one, two in zip(state, other, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)
    assert state[1][0, 0] == 3 + 6
    assert here.state["count"] == 3
    assert isinstance(here.act(observations(1)[0]), int)
    assert here.state["count"] == 4


@pytest.mark.parametrize("wrong", [np.full(INPUTS, np.nan), np.zeros(INPUTS + 1), "no", [1.0] * 3, {"a": 1}])
def test_what_is_refused_is_not_remembered(native: NativeRuntime, wrong: object) -> None:
    native.act(observations(1)[0])
    before = native.state
    with pytest.raises(ObservationError):
        native.act(wrong)
    with pytest.raises(ObservationError):
        native.act_into(wrong, np.zeros(6, np.float32))
    for buffer in (np.zeros(5, np.float32), np.zeros(6), np.zeros((6, 2), np.float32)[:, 0]):
        with pytest.raises(ObservationError, match="output buffer"):
            native.act_into(observations(1)[0], buffer)
    same(native.state, before)


def test_the_long_way_remembers_once(artifact: ProvenArtifact) -> None:
    """Lists, other dtypes and strides go another way into the same memory."""
    native, other = NativeRuntime(artifact.model), OnnxRuntime(artifact.model)
    action = np.zeros(6, np.float32)
    for seen in observations(4):
        strided = np.zeros((INPUTS, 2), np.float32)
        strided[:, 0] = seen
        for given in (seen.tolist(), seen.astype(np.float64), strided[:, 0], [str(x) for x in seen]):
            want = other.act(seen)
            np.testing.assert_allclose(native.act(given), want, atol=1e-5)
            native.act_into(given if not isinstance(given[0], str) else seen, action)
            np.testing.assert_allclose(action, other.act(seen), atol=1e-5)


def test_every_runtime_has_a_memory_of_its_own(artifact: ProvenArtifact) -> None:
    one, other = NativeRuntime(artifact.model), NativeRuntime(artifact.model)
    one.act(observations(1)[0])
    assert not np.array_equal(one.state["h_in"], other.state["h_in"])
    memory = memory_of(one.act)
    assert memory is not None
    memory.reset()
    same(one.state, other.state)


def test_a_memory_that_is_not_finite_is_named(artifact: ProvenArtifact) -> None:
    native = NativeRuntime(artifact.model)
    native._module.set_state(np.full(4 * 6, np.inf, np.float32))
    for act in (native.act, lambda seen: native.act_into(seen, np.zeros(6, np.float32))):
        with pytest.raises(ObservationError, match="memory is not finite"):
            act(observations(1)[0])
    native.reset()
    native.act(observations(1)[0])


ALONE = """
import array, sys
sys.path.insert(0, sys.argv[1])
import gait
assert "numpy" not in sys.modules
seen = array.array("f", [0.1, -0.2, 0.3, -0.4, 0.5])
first = gait.act(seen)
second = gait.act(seen)
assert first != second
gait.reset()
assert gait.state() == gait.initial_state()
assert gait.act(list(seen)) == first
kept = gait.state()
try:
    gait.act(array.array("f", [float("nan")] * 5))
    raise SystemExit("accepted")
except ValueError as error:
    assert "NaN" in str(error)
assert gait.state() == kept
states = memoryview(bytearray(gait.initial_state() * 2)).cast("f")
actions = array.array("f", [0.0] * 12)
gait.act_batch(array.array("f", list(seen) * 2), states, actions)
assert tuple(actions[:6]) == tuple(actions[6:]) == first
assert bytes(states)[: len(kept)] == kept
for wrong in (states[:5], memoryview(bytearray(len(kept) * 2)), actions):
    try:
        gait.act_batch(array.array("f", list(seen) * 2), wrong, actions)
        raise SystemExit("accepted")
    except ValueError as error:
        assert "states" in str(error), error
try:
    gait.set_state(b"short")
    raise SystemExit("accepted")
except ValueError as error:
    assert "24 float32 numbers: h_in (2, 6), c_in (2, 6)" in str(error)
gait.set_state(gait.initial_state())
assert gait.act(seen) == first
print("right")
"""


def test_a_module_needs_nothing_else(artifact: ProvenArtifact, tmp_path: Path) -> None:
    report = publish_extension(artifact, data_of(artifact.policy).parity, tmp_path / "gait.so")  # type: ignore[arg-type]
    assert report.of_allowed <= 1
    run = subprocess.run([sys.executable, "-c", ALONE, str(tmp_path)], capture_output=True, text=True)
    assert run.stdout == "right\n", run.stderr
