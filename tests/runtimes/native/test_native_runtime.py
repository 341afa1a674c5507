"""What only the native runtime does: writing into buffers, counting, threads, and errors that cost nothing."""

from __future__ import annotations

import gc
import sys
import threading
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_policies import ACTIONS, KINDS, mixed, mlp, observations_of, pictures, quantized
from written_artifacts import written

from policypress_runtime.contract import box
from policypress_runtime.errors import ArtifactError, NativeBuildError, ObservationError
from policypress_runtime.runtimes.loading import load_artifact
from policypress_runtime.runtimes.native.native_runtime import NativeRuntime
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime
from policypress_runtime.toolchain.compiler import find_compiler

Native = Callable[..., NativeRuntime]


@pytest.fixture
def native(tmp_path: Path) -> Native:
    """Makes runtimes of policies; skipped where nothing can be built."""
    try:
        find_compiler()
    except NativeBuildError as error:
        pytest.skip(str(error))
    return lambda policy: NativeRuntime(written(policy, tmp_path / "a.onnx"))


def test_act_into(native: Native) -> None:
    runtime = native(mlp())
    observations = observations_of(mlp().observation_space, 3)
    action = np.zeros(3, np.float32)
    for observation in observations:
        runtime.act_into(observation, action)
        np.testing.assert_array_equal(action, runtime.act(observation))
    runtime.act_into(observations[0].astype(np.float64).tolist(), action)
    np.testing.assert_array_equal(action, runtime.act(observations[0]))
    plain = array("f", [0.0, 0.0, 0.0])
    runtime.act_into(memoryview(array("f", observations[1].tolist())), plain)
    np.testing.assert_array_equal(plain, runtime.act(observations[1]))


@pytest.mark.parametrize("dtype", [np.int64, np.int32])
def test_act_into_with_integers(dtype: Any, native: Native) -> None:
    policy = mlp(ACTIONS["multi_discrete"])
    runtime = native(policy)
    action = np.zeros(3, dtype)
    for observation in observations_of(policy.observation_space, 5):
        runtime.act_into(observation, action)
        np.testing.assert_array_equal(action, runtime.act(observation))


class Tagged(np.ndarray):
    """An array that is more than one."""


@pytest.mark.parametrize(
    "form",
    [
        lambda x: np.repeat(x, 2)[::2],
        lambda x: x.view(Tagged),
        lambda x: x.astype(">f4"),
        lambda x: x.astype(np.dtype("float32", metadata={"unit": "m"})),
        lambda x: np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32),
        lambda x: x.astype(np.float64),
        lambda x: np.lib.stride_tricks.as_strided(x, writeable=False),
    ],
    ids=["strided", "subclass", "big-endian", "metadata", "unaligned", "double", "read-only"],
)
def test_arrays_that_lie_otherwise(form: Callable[[Any], Any], native: Native) -> None:
    """What is read where it lies, and what is not, give the same action."""
    runtime = native(mlp())
    observation = observations_of(mlp().observation_space, 1)[0].astype(np.float32)
    np.testing.assert_array_equal(runtime.act(form(observation)), runtime.act(observation))


def test_an_array_of_another_shape_is_not_read(native: Native) -> None:
    runtime = native(mlp())
    right = observations_of(mlp().observation_space, 1)[0].astype(np.float32)
    for wrong in (right[:-1].copy(), right[None, :, None].copy(), np.zeros((), np.float32)):
        with pytest.raises(ObservationError):
            runtime.act(wrong)


@pytest.mark.parametrize("wrong", [np.zeros(2, np.float32), np.zeros((2, 3), np.float32), np.zeros(3, np.int64)])
def test_a_buffer_that_the_action_does_not_fit(wrong: Any, native: Native) -> None:
    with pytest.raises(ObservationError, match=r"does not fit the output buffer[\s\S]*float32 of shape \(3,\)"):
        native(mlp()).act_into(np.zeros(5, np.float32), wrong)


def test_a_read_only_buffer_is_left_alone(native: Native) -> None:
    action = np.zeros(3, np.float32)
    action.flags.writeable = False
    with pytest.raises(ObservationError):
        native(mlp()).act_into(np.zeros(5, np.float32), action)
    assert (action == 0).all()


def test_what_is_refused_leaves_the_buffer_alone(native: Native) -> None:
    runtime, action = native(mlp()), np.full(3, 7, np.float32)
    with pytest.raises(ObservationError, match="finite"):
        runtime.act_into(np.array([0, 0, np.nan, 0, 0], np.float32), action)
    with pytest.raises(ObservationError, match="shape"):
        runtime.act_into(np.zeros(6, np.float32), action)
    assert (action == 7).all()


def test_clipped_observations_are_counted(native: Native) -> None:
    """The normaliser clips at 10 standard deviations."""
    runtime = native(mlp())
    assert runtime.saturated == 0
    assert runtime.act_into(np.zeros(5, np.float32), np.zeros(3, np.float32)) is False
    assert runtime.act_into(np.full(5, 1e6, np.float32), np.zeros(3, np.float32)) is True
    runtime.act(np.full(5, -1e6))
    runtime.act_batch(np.full((4, 5), 1e6))
    assert runtime.saturated == 3
    assert native(mlp()).saturated == 0  # every runtime counts for itself


@pytest.mark.usefixtures("every_kernel")
@pytest.mark.parametrize("kind", KINDS)
def test_integer_networks_act_as_under_onnx_runtime(kind: str, native: Native, tmp_path: Path) -> None:
    policy = KINDS[kind]()
    observations = observations_of(policy.observation_space, 64)
    small = quantized(policy, observations)
    runtime, reference = native(small), OnnxRuntime(written(small, tmp_path / "b.onnx"))
    got, want = runtime.act_batch(observations), reference.act_batch(observations)
    span = np.ptp(want, axis=0)
    assert (np.abs(got - want) < 1e-4 * span).mean() > 0.97  # all but rounding ties
    assert (np.abs(got - want) < 0.1 * span).all()


@pytest.mark.usefixtures("every_kernel")
def test_kernels(native: Native) -> None:
    runtime = native(mlp())
    assert runtime.kernel
    want = runtime.act(np.ones(5))
    module = runtime._module
    assert module.use_kernel("plain") is True
    assert runtime.kernel == "plain"
    np.testing.assert_allclose(runtime.act(np.ones(5)), want, atol=1e-6)
    assert module.use_kernel("no such kernel") is False
    assert runtime.kernel == "plain"


def test_threads_act_at_once(native: Native) -> None:
    runtime = native(mixed())
    observations = observations_of(mixed().observation_space, 200)
    want = runtime.act_batch(observations)
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(runtime.act_batch(observations))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for result in results:
        np.testing.assert_array_equal(result, want)


@pytest.mark.parametrize("kind", ["mlp", "mixed"])
def test_nothing_is_leaked(kind: str, native: Native) -> None:
    policy = KINDS[kind]()
    runtime = native(policy)
    observations = observations_of(policy.observation_space, 2)
    one = {k: v[0] for k, v in observations.items()} if isinstance(observations, dict) else observations[0]
    watched = list(one.values()) if isinstance(one, dict) else [one]
    bad = {k: v[None] for k, v in one.items()} if isinstance(one, dict) else one[None]
    before = [sys.getrefcount(item) for item in watched]
    for _ in range(50):
        runtime.act(one)
        runtime.act_batch(observations)
        with pytest.raises(ObservationError):
            runtime.act(bad)
    gc.collect()
    assert [sys.getrefcount(item) for item in watched] == before
    action = runtime.act(one)
    assert sys.getrefcount(action) == 2


def test_a_runtime_that_is_dropped_is_freed(native: Native) -> None:
    """It and its module refer to each other; the collector knows."""
    import weakref

    runtime = native(mlp())
    gone = weakref.ref(runtime)
    del runtime
    gc.collect()
    assert gone() is None


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be read"):
        NativeRuntime(tmp_path / "absent.onnx")


def test_a_large_image_acts_on_a_small_stack(native: Native, tmp_path: Path) -> None:
    """Megabytes of working memory, which killed the process when they lay on the stack."""
    runtime = native(pictures(256, ACTIONS["discrete"]))
    image = observations_of(runtime.contract.observation_space, 2)
    got: list[Any] = []
    size = threading.stack_size(1 << 17)
    try:
        thread = threading.Thread(target=lambda: got.extend([runtime.act(image[0]), runtime.run_batch(image)]))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(size)
    want = OnnxRuntime(tmp_path / "a.onnx").run_batch(image)
    assert got[0] == got[1]["action"][0] == want["action"][0]
    np.testing.assert_allclose(got[1]["scores"], want["scores"], rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("native")
def test_actions_of_many_numbers_are_onnx_runtime_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POLICYPRESS_RUNTIME", raising=False)
    policy = mlp(box((2000,), "float32", -1, 1))
    loaded = load_artifact(written(policy, tmp_path / "a.onnx"), "auto")
    assert isinstance(loaded, OnnxRuntime)
    assert "an action of 2000 numbers" in loaded.notices[0]
    assert np.shape(loaded.act(np.zeros(5, np.float32))) == (2000,)
