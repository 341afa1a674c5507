"""What a race judges by: the share that is kept, from pairs, nearer where returns go together."""

from __future__ import annotations

import numpy as np
import pytest

from policypress.measurement.certificate.paired_retention import paired_retention
from policypress.measurement.statistics import Interval, Missing

RNG = np.random.default_rng(0)


def test_pairs_that_go_together_tell_more() -> None:
    base = RNG.normal(1.0, 0.3, 40)
    floor = RNG.normal(0.0, 0.05, 40)
    together = paired_retention(base.tolist(), (0.9 * base).tolist(), floor.tolist(), 0.9)
    apart = paired_retention(base.tolist(), RNG.normal(0.9, 0.3, 40).tolist(), floor.tolist(), 0.9)
    assert isinstance(together, Interval)
    assert isinstance(apart, Interval)
    assert together.estimate == pytest.approx(0.9, abs=0.01)
    assert together.upper - together.lower < 0.3 * (apart.upper - apart.lower)


def test_the_interval_covers_what_is_kept() -> None:
    covered = 0
    for _ in range(200):
        base = RNG.normal(1.0, 0.2, 20)
        own = 0.95 * base + RNG.normal(0.0, 0.05, 20)
        found = paired_retention(base.tolist(), own.tolist(), RNG.normal(0, 0.02, 20).tolist(), 0.9)
        assert isinstance(found, Interval)
        covered += found.lower <= 0.95 <= found.upper
    assert 0.82 <= covered / 200 <= 0.97


def test_without_a_gap_or_episodes_there_is_none() -> None:
    assert isinstance(paired_retention([1.0, 1.1, 0.9], [1.0] * 3, [1.0, 1.05, 0.95], 0.9), Missing)
    assert isinstance(paired_retention([1.0], [1.0], [0.0], 0.9), Missing)
