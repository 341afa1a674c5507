"""Certification: what it bounds, what it refuses, and that it is seldom wrong where it may be wrong at all."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from policypress.search.certification import (
    certify,
    error_share,
    mean_lower_bound,
    plan_episodes,
    rate_upper_bound,
)
from policypress_runtime.errors import StudyInputError

RNG = np.random.default_rng(0)
RANDOM = RNG.normal(-300.0, 80.0, 100).tolist()


def returns(mean: float, spread: float, count: int, seed: int = 1) -> list[float]:
    return np.random.default_rng(seed).normal(mean, spread, count).tolist()


def test_enough_good_episodes_are_certified_and_too_few_are_not() -> None:
    base = returns(9400, 80, 150)
    many = certify(base, returns(9380, 80, 150, 2), RANDOM, keep=0.95, alpha=0.025)
    assert many.certified
    assert many.lower is not None
    assert many.retention is not None
    assert 0.95 <= many.lower < many.retention
    few = certify(base, returns(9380, 80, 40, 2), RANDOM, keep=0.95, alpha=0.025)
    assert few.verdict == "not certified"
    assert "below 0.95" in few.reason


def test_one_crash_is_counted_and_costs() -> None:
    base, own = returns(9400, 80, 200), returns(9380, 80, 200, 2)
    before = certify(base, own, RANDOM, keep=0.95, alpha=0.025)
    own[7] = -280.0
    after = certify(base, own, RANDOM, keep=0.95, alpha=0.025)
    assert (before.crashes, after.crashes) == (0, 1)
    assert after.lower is not None
    assert before.lower is not None
    assert after.lower < before.lower - 0.004
    assert after.crash_rate_upper is not None
    assert after.crash_rate_upper > 1 / 200


def test_unseen_crashes_are_charged_at_the_worst_score_that_anybody_had() -> None:
    base, own = returns(100, 1, 120), returns(100, 1, 120, 2)
    mild = certify(base, own, [0.0, 1.0] * 30, keep=0.9, alpha=0.05)
    harsh = certify(base, own, [0.0, 1.0] * 30 + [-150.0], keep=0.9, alpha=0.05)
    assert mild.worst == pytest.approx(-0.005, abs=0.01)
    assert harsh.worst is not None
    assert harsh.worst < -1
    assert mild.lower is not None
    assert harsh.lower is not None
    assert harsh.lower < mild.lower - 0.01


def test_returns_may_be_negative_and_units_do_not_matter() -> None:
    base, own, floor = returns(-160, 12, 300), returns(-163, 12, 300, 2), returns(-1200, 250, 300, 3)
    plain = certify(base, own, floor, keep=0.95, alpha=0.025)
    assert plain.certified
    scaled = certify(
        [5 * x + 9000 for x in base],
        [5 * x + 9000 for x in own],
        [5 * x + 9000 for x in floor],
        keep=0.95,
        alpha=0.025,
    )
    assert scaled.lower == pytest.approx(plain.lower)


def test_a_baseline_that_has_learned_nothing_is_refused() -> None:
    found = certify(returns(-290, 80, 100), returns(-280, 80, 100, 2), RANDOM, keep=0.95, alpha=0.025)
    assert found.verdict == "refused"
    assert "not clearly better than random" in found.reason
    assert found.lower is None
    worse = certify([0.0] * 5, [1.0] * 5, [0.0] * 5, keep=0.95, alpha=0.025)
    assert worse.verdict == "refused"


def test_a_deterministic_environment_is_judged_by_its_one_episode() -> None:
    kept = certify([10.0], [9.6], [0.0, 1.0, 2.0], keep=0.95, alpha=0.025, deterministic=True)
    assert kept.certified
    assert kept.lower == kept.retention == pytest.approx(8.6 / 9)
    lost = certify([10.0], [9.4], [0.0, 1.0, 2.0], keep=0.95, alpha=0.025, deterministic=True)
    assert lost.verdict == "not certified"
    with pytest.raises(StudyInputError, match="differ"):
        certify([10.0, 9.0], [9.4], [0.0], keep=0.95, alpha=0.025, deterministic=True)


def test_equal_returns_of_a_random_environment_still_have_to_be_many() -> None:
    floor = returns(20, 10, 100)
    assert not certify([500.0] * 60, [500.0] * 60, floor, keep=0.95, alpha=0.05).certified
    assert certify([500.0] * 80, [500.0] * 80, floor, keep=0.95, alpha=0.05).certified


@pytest.mark.parametrize("broken", [[1.0], [1.0, math.nan]])
def test_unusable_returns_are_refused_with_a_typed_error(broken: list[float]) -> None:
    with pytest.raises(StudyInputError, match="candidate"):
        certify([1.0, 2.0], broken, [0.0, 0.1], keep=0.95, alpha=0.05)
    with pytest.raises(StudyInputError, match="share to keep"):
        certify([1.0, 2.0], [1.0, 2.0], [0.0, 0.1], keep=1.5, alpha=0.05)


def test_the_errors_of_all_candidates_are_less_than_the_whole() -> None:
    assert sum(error_share(0.95, attempt) for attempt in range(1, 40)) <= 0.05 + 1e-12


def test_the_exact_bound_of_a_rate() -> None:
    assert rate_upper_bound(0, 220, 0.025) == pytest.approx(1 - 0.025 ** (1 / 220))
    assert rate_upper_bound(3, 50, 0.05) == pytest.approx(beta.ppf(0.95, 4, 47))
    assert rate_upper_bound(5, 5, 0.05) == 1.0


@given(
    st.lists(st.floats(-2.0, 3.0), min_size=2, max_size=60),
    st.floats(0.0, 2.0),
    st.sampled_from((0.2, 0.05, 0.01)),
)
def test_the_bound_lies_between_the_worst_and_the_mean(scores: list[float], below: float, alpha: float) -> None:
    worst = min(scores) - below
    bound = mean_lower_bound(scores, worst=worst, alpha=alpha)
    assert worst <= bound <= float(np.mean(scores)) + 1e-9
    assert mean_lower_bound(scores, worst=worst, alpha=alpha / 2) <= bound + 1e-9


def test_false_certificates_are_rare_at_the_limit() -> None:
    """True retention exactly 0.95, with crashes of 0.5 to 5 %; 5 % are allowed."""
    rng = np.random.default_rng(5)
    experiments, count = 400, 120
    for rate in (0.005, 0.02, 0.05):
        false = 0
        for _ in range(experiments):
            own = rng.normal(0.95 / (1 - rate), 0.008, count) * (rng.random(count) >= rate)
            base, floor = rng.normal(1, 0.008, count), rng.normal(0, 0.02, count)
            false += certify(base.tolist(), own.tolist(), floor.tolist(), keep=0.95, alpha=0.05).certified
        assert false / experiments <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / experiments), rate


def test_the_planned_episodes_are_enough_four_times_of_five() -> None:
    rng = np.random.default_rng(6)
    base, own, floor = rng.normal(1, 0.1, 200), rng.normal(0.99, 0.1, 200), rng.normal(0, 0.1, 200)
    lists = [(x - x.mean() + mean).tolist() for x, mean in ((base, 1.0), (own, 0.99), (floor, 0.0))]
    plan = plan_episodes(*lists, keep=0.95, alpha=0.025, limit=2000)
    assert plan.episodes is not None
    assert 100 < plan.episodes < 300
    passed = 0
    for _ in range(200):
        fresh = [rng.normal(mean, 0.1, plan.episodes).tolist() for mean in (1.0, 0.99, 0.0)]
        passed += certify(*fresh, keep=0.95, alpha=0.025).certified
    assert 0.65 <= passed / 200 <= 0.95


def test_what_cannot_pass_is_said_before_it_is_tried() -> None:
    base, floor = returns(1, 0.01, 50), returns(0, 0.01, 50, 3)
    worse = plan_episodes(base, returns(0.9, 0.01, 50, 2), floor, keep=0.95, alpha=0.025, limit=1000)
    assert worse.episodes is None
    assert "less than 0.95" in worse.reason
    close = plan_episodes(base, returns(0.953, 0.01, 50, 2), floor, keep=0.95, alpha=0.025, limit=500)
    assert close.episodes is None
    assert "not enough" in close.reason
    assert plan_episodes(base, base, floor, keep=0.95, alpha=0.025, limit=9, deterministic=True).episodes == 1
    assert plan_episodes(floor, base, base, keep=0.95, alpha=0.025, limit=500).episodes is None
