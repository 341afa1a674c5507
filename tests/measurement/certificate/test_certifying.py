"""Certificates: what they bound, what they refuse, and that they are seldom wrong where they may be wrong at all."""

from __future__ import annotations

import math

import numpy as np
import pytest

from policypress.measurement.certificate.capital import INDEPENDENT
from policypress.measurement.certificate.certifying import certify_deterministic, certify_returns
from policypress.measurement.certificate.fall_rule import FallLimit
from policypress.measurement.certificate.falls import ObservedFalls
from policypress.measurement.certificate.limits import Limits, declared
from policypress_runtime.errors import StudyInputError

RANDOM = np.random.default_rng(0).normal(-300.0, 80.0, 100).tolist()
LIMITS = Limits(-600.0, 10_000.0)


def returns(mean: float, spread: float, count: int, seed: int = 1) -> list[float]:
    return np.random.default_rng(seed).normal(mean, spread, count).tolist()


def test_enough_good_pairs_are_certified_and_too_few_are_not() -> None:
    base = returns(9400, 80, 150)
    many = certify_returns(base, returns(9380, 80, 150, 2), RANDOM, keep=0.95, alpha=0.025, limits=LIMITS)
    assert many.certified
    assert many.lower is not None
    assert many.retention is not None
    assert 0.95 <= many.lower < many.retention
    few = certify_returns(base[:40], returns(9380, 80, 40, 2), RANDOM, keep=0.95, alpha=0.025, limits=LIMITS)
    assert few.verdict == "not certified"
    assert "below 0.95" in few.reason


def test_the_lower_bound_is_where_the_decision_turns() -> None:
    base, own = returns(9400, 300, 200), returns(9200, 300, 200, 2)
    found = certify_returns(base, own, RANDOM, keep=0.9, alpha=0.05, limits=LIMITS)
    assert found.lower is not None
    for keep, passed in ((found.lower - 1e-4, True), (found.lower + 1e-4, False)):
        assert certify_returns(base, own, RANDOM, keep=keep, alpha=0.05, limits=LIMITS).certified is passed


def test_a_crash_costs_what_it_did_and_a_lower_limit_costs_too() -> None:
    base, own = returns(9400, 80, 200), returns(9380, 80, 200, 2)
    before = certify_returns(base, own, RANDOM, keep=0.95, alpha=0.025, limits=LIMITS)
    lower = certify_returns(base, own, RANDOM, keep=0.95, alpha=0.025, limits=Limits(-9000.0, 10_000.0))
    own[7] = -280.0
    after = certify_returns(base, own, RANDOM, keep=0.95, alpha=0.025, limits=LIMITS)
    assert (before.crashes, after.crashes) == (0, 1)
    assert before.lower is not None
    assert after.lower is not None
    assert lower.lower is not None
    assert max(after.lower, lower.lower) < before.lower - 0.004


def test_episodes_beyond_the_limits_count_as_the_limit_and_are_told() -> None:
    base, own = returns(100, 1, 200), returns(100, 1, 200, 2)
    own[3], base[5] = -1e9, 1e9
    found = certify_returns(base, own, [0.0, 1.0] * 50, keep=0.9, alpha=0.05, limits=Limits(-20.0, 120.0))
    assert found.certified
    assert found.outside == (1, 0, 0, 1)
    assert found.below_rate_upper is not None
    assert 1 / 200 < found.below_rate_upper < 0.06


def test_a_baseline_that_has_learned_nothing_is_refused() -> None:
    found = certify_returns(
        returns(-290, 80, 100), returns(-280, 80, 100, 2), RANDOM, keep=0.95, alpha=0.025, limits=LIMITS
    )
    assert found.verdict == "refused"
    assert "not clearly better than random" in found.reason
    negative = certify_returns(
        returns(-9, 1, 50), returns(-9, 1, 50), None, keep=0.95, alpha=0.05, limits=Limits(-20, 1)
    )
    assert "without random actions" in negative.reason


def test_without_random_actions_a_return_of_nothing_is_the_zero() -> None:
    base = returns(100, 1, 120)
    found = certify_returns(base, base, None, keep=0.95, alpha=0.05, limits=Limits(0.0, 110.0))
    assert found.certified
    assert found.retention == pytest.approx(1.0)
    assert found.lower is not None
    assert found.lower <= 1.0


def test_pairs_need_as_many_of_both_and_independent_samples_do_not() -> None:
    base, own = returns(100, 1, 200), returns(100, 1, 150, 2)
    with pytest.raises(StudyInputError, match="do not form pairs"):
        certify_returns(base, own, None, keep=0.9, alpha=0.05, limits=Limits(0.0, 110.0))
    found = certify_returns(base, own, None, keep=0.9, alpha=0.05, limits=Limits(0.0, 110.0), seeds=INDEPENDENT)
    assert found.certified
    assert found.rule == "independent"
    assert found.correlation is None


def test_falls_are_certified_together_with_the_return_and_split_its_error() -> None:
    base = returns(100, 1, 300)
    falls = ObservedFalls("it fell", (False,) * 300, (False,) * 300, FallLimit(0.05))
    limits = Limits(0.0, 110.0)
    found = certify_returns(base, base, None, keep=0.9, alpha=0.05, limits=limits, falls=falls)
    assert found.certified
    assert found.falls is not None
    assert found.falls.alpha == pytest.approx(0.01)
    assert found.needed == pytest.approx(-math.log(0.04))
    fallen = ObservedFalls("it fell", (True,) * 9 + (False,) * 291, (False,) * 300, FallLimit(0.02))
    refused = certify_returns(base, base, None, keep=0.9, alpha=0.05, limits=limits, falls=fallen)
    assert refused.verdict == "not certified"
    assert "falls are only known to be rarer" in refused.reason
    unasked = ObservedFalls("it fell", (True,) * 9 + (False,) * 291, (False,) * 300)
    told = certify_returns(base, base, None, keep=0.9, alpha=0.05, limits=limits, falls=unasked)
    assert told.certified
    assert told.falls is not None
    assert (told.falls.count, told.falls.baseline_count, told.falls.held) == (9, 0, None)


def test_a_deterministic_environment_is_judged_by_its_one_episode() -> None:
    kept = certify_deterministic([10.0], [9.6], [0.0, 1.0, 2.0], keep=0.95, alpha=0.025)
    assert kept.certified
    assert kept.lower == kept.retention == pytest.approx(8.6 / 9)
    assert certify_deterministic([10.0], [9.4], [0.0, 1.0, 2.0], keep=0.95, alpha=0.025).verdict == "not certified"
    with pytest.raises(StudyInputError, match="differ"):
        certify_deterministic([10.0, 9.0], [9.4], [0.0], keep=0.95, alpha=0.025)
    assert certify_deterministic([1.0], [1.0], [1.0], keep=0.95, alpha=0.025).verdict == "refused"


@pytest.mark.parametrize("broken", [[1.0], [1.0, math.nan], [math.inf, 1.0]])
def test_unusable_returns_are_refused_with_a_typed_error(broken: list[float]) -> None:
    with pytest.raises(StudyInputError, match="candidate"):
        certify_returns([1.0, 2.0], broken, [0.0, 0.1], keep=0.95, alpha=0.05, limits=Limits(0, 3))
    with pytest.raises(StudyInputError, match="share to keep"):
        certify_returns([1.0, 2.0], [1.0, 2.0], [0.0, 0.1], keep=1.5, alpha=0.05, limits=Limits(0, 3))


def test_json_holds_everything_and_says_which_rule_certified() -> None:
    base = returns(100, 1, 120)
    data = certify_returns(base, base, None, keep=0.9, alpha=0.05, limits=Limits(0.0, 110.0)).to_json()
    assert (data["version"], data["rule"], data["verdict"]) == (2, "pairs", "certified")
    assert data["limits"] == {"low": 0.0, "high": 110.0, "low_from": "stated", "high_from": "stated"}


def test_limits_from_the_race_hold_in_a_search_like_episode_order() -> None:
    """Limits are declared from other episodes than those that certify; what certifies cannot move them."""
    race = declared([*returns(100, 5, 70), *RANDOM])
    own = [*returns(100, 5, 100, 3), -1e6]
    found = certify_returns([*returns(100, 5, 100, 4), 100.0], own, RANDOM, keep=0.9, alpha=0.05, limits=race)
    assert found.limits == race
    assert found.outside[0] == 1
