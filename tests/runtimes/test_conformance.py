"""What every runtime does alike: one observation, a batch, Stable-Baselines3's signature; what is refused, and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_policies import ACTIONS, KINDS, mixed, mlp, observations_of, tensors_of
from written_artifacts import written

from policypress_runtime.contract import Discrete
from policypress_runtime.errors import NativeBuildError, NoNativeFormError, ObservationError
from policypress_runtime.runtimes.litert_runtime import LiteRtRuntime
from policypress_runtime.runtimes.native.native_runtime import NativeRuntime
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime
from policypress_runtime.runtimes.openvino_runtime import OpenVinoRuntime
from policypress_runtime.runtimes.protocol import Runtime
from policypress_runtime.toolchain.compiler import find_compiler

RUNTIMES: dict[str, Callable[[Path], Runtime]] = {
    "onnxruntime": OnnxRuntime,
    "native": NativeRuntime,
    "openvino": OpenVinoRuntime,
    "litert": LiteRtRuntime,
}
# What runtimes to compare with need.
PACKAGES = {"openvino": "openvino", "litert": "ai_edge_litert"}


@pytest.fixture(params=RUNTIMES)
def opened(request: pytest.FixtureRequest) -> Callable[[Path], Runtime]:
    """Every runtime in turn."""
    if request.param == "native":
        try:
            find_compiler()
        except NativeBuildError as error:
            pytest.skip(str(error))
    if request.param in PACKAGES:
        pytest.importorskip(PACKAGES[request.param])

    def opening(path: Path) -> Runtime:
        try:
            return RUNTIMES[request.param](path)
        except NoNativeFormError as error:
            if request.param not in PACKAGES:
                raise
            pytest.skip(str(error))

    return opening


def rows_of(observations: Any, index: Any) -> Any:
    if isinstance(observations, dict):
        return {key: value[index] for key, value in observations.items()}
    return observations[index]


class TestEveryRuntime:
    """The conformance class."""

    @pytest.mark.parametrize(
        ("kind", "action"), [*(("mlp", action) for action in ACTIONS), ("cnn", "box"), ("mixed", "multi_discrete")]
    )
    def test_one_observation_a_batch_and_predict_agree(
        self, kind: str, action: str, tmp_path: Path, opened: Callable[[Path], Runtime]
    ) -> None:
        policy = KINDS[kind](ACTIONS[action])
        runtime = opened(written(policy, tmp_path / "a.onnx"))
        observations = observations_of(policy.observation_space, 12)
        with torch.no_grad():
            want = policy(tensors_of(observations)).numpy()
        batch = runtime.act_batch(observations)
        np.testing.assert_allclose(batch, want, atol=1e-5)
        assert batch.dtype == want.dtype
        predicted, state = runtime.predict(observations)
        assert state is None
        np.testing.assert_array_equal(predicted, batch)
        for index in (3, 0, 3, 11):
            one = runtime.act(rows_of(observations, index))
            assert isinstance(one, int) == isinstance(policy.action_space, Discrete)
            np.testing.assert_allclose(one, want[index], atol=1e-5)
            single, state = runtime.predict(rows_of(observations, index), None, None, False)
            assert isinstance(single, np.ndarray)
            assert single.shape == want.shape[1:]
            np.testing.assert_allclose(single, want[index], atol=1e-5)

    def test_an_action_is_the_caller_s_own(self, tmp_path: Path, opened: Callable[[Path], Runtime]) -> None:
        """The next action does not overwrite the last one, and the caller may write into it."""
        policy = mlp()
        runtime = opened(written(policy, tmp_path / "a.onnx"))
        observations = observations_of(policy.observation_space, 2)
        first = runtime.act(observations[0])
        kept = first.copy()
        second = runtime.act(observations[1])
        np.testing.assert_array_equal(first, kept)
        assert not np.array_equal(first, second)
        first[:] = 99
        np.testing.assert_array_equal(runtime.act(observations[0]), kept)

    def test_the_observation_is_not_changed(self, tmp_path: Path, opened: Callable[[Path], Runtime]) -> None:
        runtime = opened(written(mlp(), tmp_path / "a.onnx"))
        observation = np.linspace(-1, 1, 5)
        kept = observation.copy()
        runtime.act(observation)
        runtime.predict(observation[None])
        np.testing.assert_array_equal(observation, kept)

    @pytest.mark.parametrize("form", [list, tuple, np.float64, np.float16, "strided", "reversed", "read-only"])
    def test_observations_in_any_form(self, form: Any, tmp_path: Path, opened: Callable[[Path], Runtime]) -> None:
        runtime = opened(written(mlp(), tmp_path / "a.onnx"))
        plain = np.array([0.5, -1.0, 2.0, 0.25, -0.125], np.float32)
        want = runtime.act(plain)
        given: Any
        match form:
            case "strided":
                given = np.repeat(plain, 2)[::2]
            case "reversed":
                given = plain[::-1].copy()[::-1]
            case "read-only":
                given = plain.copy()
                given.flags.writeable = False
            case _ if form in (list, tuple):
                given = form(plain.tolist())
            case _:
                given = plain.astype(form)
        np.testing.assert_array_equal(runtime.act(given), want)
        batch = [given, given] if form in (list, tuple) else np.stack([given, given])
        np.testing.assert_allclose(runtime.act_batch(batch), [want, want], atol=1e-6)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
    @pytest.mark.parametrize("where", range(5))
    def test_numbers_that_are_not_finite_in_float32(
        self, bad: float, where: int, tmp_path: Path, opened: Callable[[Path], Runtime]
    ) -> None:
        runtime = opened(written(mlp(), tmp_path / "a.onnx"))
        observation = np.zeros(5)
        observation[where] = bad
        for call in (
            lambda: runtime.act(observation),
            lambda: runtime.act_batch(observation[None]),
            lambda: runtime.predict(observation),
        ):
            with pytest.raises(ObservationError, match=r"observation[\s\S]*finite"):
                call()
        assert np.isfinite(runtime.act(np.zeros(5))).all()

    def test_large_numbers_whose_sum_overflows_are_fine(
        self, tmp_path: Path, opened: Callable[[Path], Runtime]
    ) -> None:
        runtime = opened(written(mlp(), tmp_path / "a.onnx"))
        large = np.full(5, 3e38, np.float32)
        assert np.isfinite(runtime.act(large)).all()
        opposite = large * np.array([1, -1, 1, -1, 1], np.float32)
        assert np.isfinite(runtime.act_batch(opposite[None])).all()

    @pytest.mark.parametrize("shape", [(), (4,), (6,), (1, 5), (5, 1), (2, 5)])
    def test_act_refuses_other_shapes(
        self, shape: tuple[int, ...], tmp_path: Path, opened: Callable[[Path], Runtime]
    ) -> None:
        runtime = opened(written(mlp(), tmp_path / "a.onnx"))
        with pytest.raises(ObservationError, match=r"shape[\s\S]*\(5,\)"):
            runtime.act(np.zeros(shape, np.float32))

    @pytest.mark.parametrize("shape", [(), (5,), (4, 6), (2, 1, 5)])
    def test_batches_refuse_other_shapes(
        self, shape: tuple[int, ...], tmp_path: Path, opened: Callable[[Path], Runtime]
    ) -> None:
        runtime = opened(written(mlp(), tmp_path / "a.onnx"))
        with pytest.raises(ObservationError, match="batch"):
            runtime.act_batch(np.zeros(shape, np.float32))

    def test_keys(self, tmp_path: Path, opened: Callable[[Path], Runtime]) -> None:
        runtime = opened(written(mixed(), tmp_path / "a.onnx"))
        good = rows_of(observations_of(mixed().observation_space, 2), 0)
        missing = {key: value for key, value in good.items() if key != "gear"}
        for call in (runtime.act, runtime.predict):
            with pytest.raises(ObservationError, match="gear"):
                call(missing)
            with pytest.raises(ObservationError, match="dict"):
                call(np.zeros(5, np.float32))
        with pytest.raises(ObservationError, match=r"observation.speed[\s\S]*shape"):
            runtime.act({**good, "speed": np.zeros(4, np.float32)})
        with pytest.raises(ObservationError, match=r"observation.speed[\s\S]*finite"):
            runtime.act({**good, "speed": np.full(5, np.nan)})
        single = opened(written(mlp(), tmp_path / "b.onnx"))
        with pytest.raises(ObservationError, match="keys"):
            single.act({"speed": np.zeros(5, np.float32)})

    def test_rows_of_a_batch_must_be_as_many_for_every_key(
        self, tmp_path: Path, opened: Callable[[Path], Runtime]
    ) -> None:
        runtime = opened(written(mixed(), tmp_path / "a.onnx"))
        observations = observations_of(mixed().observation_space, 3)
        with pytest.raises(ObservationError, match="rows"):
            runtime.act_batch({**observations, "speed": observations["speed"][:2]})

    @pytest.mark.parametrize("value", ["text", None, object(), [[1, 2], [3]]])
    def test_what_is_no_array_of_numbers(self, value: Any, tmp_path: Path, opened: Callable[[Path], Runtime]) -> None:
        runtime = opened(written(mlp(), tmp_path / "a.onnx"))
        for call in (runtime.act, runtime.act_batch, runtime.predict):
            with pytest.raises(ObservationError):
                call(value)

    def test_strings_in_the_right_shape(self, tmp_path: Path, opened: Callable[[Path], Runtime]) -> None:
        runtime = opened(written(mlp(), tmp_path / "a.onnx"))
        with pytest.raises(ObservationError, match="numbers"):
            runtime.act(np.array(["a"] * 5))
        with pytest.raises(ObservationError, match="numbers"):
            runtime.act_batch(np.array([["a"] * 5]))

    def test_an_empty_batch(self, tmp_path: Path, opened: Callable[[Path], Runtime]) -> None:
        runtime = opened(written(mlp(), tmp_path / "a.onnx"))
        assert runtime.act_batch(np.zeros((0, 5), np.float32)).shape == (0, 3)

    def test_rows_one_by_one_where_the_batch_decides_scales(
        self, tmp_path: Path, opened: Callable[[Path], Runtime]
    ) -> None:
        policy = mlp(ACTIONS["discrete"])
        alone = opened(written(policy, tmp_path / "a.onnx", batch_independent=False))
        together = opened(written(policy, tmp_path / "b.onnx"))
        observations = observations_of(policy.observation_space, 9)
        got, want = alone.run_batch(observations), together.run_batch(observations)
        assert set(got) == {"action", "scores"}
        for name, value in want.items():
            np.testing.assert_allclose(got[name], value, atol=1e-6)
            assert got[name].dtype == value.dtype
        assert alone.act_batch(observations[:0]).shape == (0,)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
    @given(kind=st.sampled_from(sorted(KINDS)), seed=st.integers(0, 10_000))
    def test_acting_again_gives_the_same(
        self, kind: str, seed: int, tmp_path: Path, opened: Callable[[Path], Runtime]
    ) -> None:
        policy = KINDS[kind]()
        runtime = opened(written(policy, tmp_path / "a.onnx"))
        observations = observations_of(policy.observation_space, 3, seed)
        first = [runtime.act(rows_of(observations, i)) for i in range(3)]
        again = [runtime.act(rows_of(observations, i)) for i in (2, 1, 0)][::-1]
        np.testing.assert_array_equal(first, again)

    def test_it_is_a_runtime(self, tmp_path: Path, opened: Callable[[Path], Runtime]) -> None:
        runtime = opened(written(mlp(), tmp_path / "a.onnx"))
        assert isinstance(runtime, Runtime)
        assert runtime.name in RUNTIMES
        assert runtime.notices == ()
        assert runtime.contract.action_space == mlp().action_space
