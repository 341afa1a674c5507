"""Bounds of rates: never below what was seen, a little wider than the exact ones, and valid at any time."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from policypress.measurement.certificate.rates import rate_upper_bound


@pytest.mark.parametrize(("count", "episodes"), [(0, 50), (0, 1000), (3, 50), (40, 100)])
def test_the_bound_is_wider_than_the_exact_one_for_a_single_look_but_not_by_much(count: int, episodes: int) -> None:
    exact = beta.ppf(0.95, count + 1, episodes - count)
    assert exact < rate_upper_bound(count, episodes, 0.05) < 1.8 * exact


def test_what_always_happens_or_was_never_looked_at_has_no_bound() -> None:
    assert rate_upper_bound(5, 5, 0.05) == rate_upper_bound(0, 0, 0.05) == 1.0


def test_it_is_seldom_wrong_at_any_time_at_all() -> None:
    rng = np.random.default_rng(0)
    for rate in (0.01, 0.05, 0.3):
        wrong = 0
        for _ in range(100):
            seen = np.cumsum(rng.random(600) < rate)
            wrong += any(rate_upper_bound(int(seen[n - 1]), n, 0.05) < rate for n in range(50, 601, 50))
        assert wrong / 100 <= 0.1, rate
