from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from checkpoint_policies import cnn_dqn, dict_td3, observations_of, sac
from policypress.compression import calibration
from policypress.export.parity import to_tensors
from policypress.policy.policy import Policy


@given(st.integers(1, 40), st.integers(1, 50))
def test_chunks_cover_every_row_once_and_in_order(count: int, rows: int) -> None:
    observations = np.arange(count * 3, dtype=np.float32).reshape(count, 3)
    parts = [part.numpy() for part in calibration.chunks(observations, rows)]
    assert all(0 < len(part) <= rows for part in parts)
    np.testing.assert_array_equal(np.concatenate(parts), observations)


def test_chunks_of_a_dict_keep_rows_together() -> None:
    observations = {"a": np.arange(10), "b": np.arange(20).reshape(10, 2)}
    parts = list(calibration.chunks(observations, 4))
    assert [len(part["a"]) for part in parts] == [4, 4, 2]
    for part in parts:
        assert (part["b"][:, 0] == 2 * part["a"]).all()


def values_read(policy: Policy, observations: object) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        values = policy.run(to_tensors(observations))
    return {policy.node(name).inputs[0]: values[policy.node(name).inputs[0]] for name, _ in policy.weighted_layers()}


@pytest.mark.parametrize("build", [sac, cnn_dqn, dict_td3])
def test_statistics_are_those_of_all_observations_at_once(build: type[Policy]) -> None:
    policy = build()
    observations = observations_of(policy.observation_space, calibration.CHUNK_ROWS + 70)
    expected = values_read(policy, observations)
    peaks, ranges = calibration.channel_peaks(policy, observations), calibration.ranges(policy, observations)
    assert peaks.keys() == ranges.keys() == expected.keys()
    for name, value in expected.items():
        peak = value.abs().transpose(0, 1).flatten(1).amax(1)
        torch.testing.assert_close(peaks[name], peak, rtol=1e-5, atol=1e-6)
        assert ranges[name] == pytest.approx((float(value.min()), float(value.max())), rel=1e-5, abs=1e-6)


def test_what_two_layers_read_is_looked_at_once() -> None:
    policy = sac()
    observations = observations_of(policy.observation_space, 5)
    assert len(calibration.ranges(policy, observations)) == 3
    peak = calibration.channel_peaks(policy, observations)["observation"]
    torch.testing.assert_close(peak, torch.from_numpy(np.abs(observations).max(0)))
