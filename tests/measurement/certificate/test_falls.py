"""Falls of candidate and baseline, beside each other."""

from __future__ import annotations

import numpy as np
import pytest

from policypress.measurement.certificate.fall_rule import FallLimit
from policypress.measurement.certificate.falls import ObservedFalls, excess_upper_bound, fall_rates
from policypress_runtime.errors import StudyInputError


def test_both_policies_are_counted_and_bounded() -> None:
    found = fall_rates(ObservedFalls("it fell", (True, *(False,) * 199), (False,) * 100), 0.05)
    assert (found.count, found.episodes, found.baseline_count, found.baseline_episodes) == (1, 200, 0, 100)
    assert 1 / 200 < found.rate_upper < 0.06
    assert 0 < found.baseline_rate_upper < 0.05
    assert found.held is None
    assert found.to_json()["held"] is None


def test_a_stated_limit_holds_or_does_not() -> None:
    for at_most, held in ((0.05, True), (0.001, False)):
        assert (
            fall_rates(ObservedFalls("it fell", (False,) * 200, (False,) * 200, FallLimit(at_most)), 0.01).held is held
        )


def test_what_falls_as_often_as_the_baseline_is_held_to_the_excess() -> None:
    """Both fall on the same half of the seeds: the rate is high, the excess is not."""
    marks = (True, False) * 200
    found = fall_rates(ObservedFalls("it fell", marks, marks, FallLimit.of("baseline+0.05")), 0.01)
    assert found.held is True
    assert found.rate_upper > 0.5
    assert found.excess_upper is not None
    assert 0 < found.excess_upper < 0.03
    assert fall_rates(ObservedFalls("it fell", marks, marks, FallLimit.of(0.05)), 0.01).held is False


def test_the_bound_of_the_excess_is_rarely_wrong() -> None:
    rng, alpha, excess = np.random.default_rng(4), 0.05, 0.1
    wrong = 0
    for _ in range(200):
        base = rng.random(300) < 0.1
        own = rng.random(300) < 0.1 + excess
        # Looked at again and again: the bound holds at every number of episodes at once.
        bounds = [
            excess_upper_bound(ObservedFalls("it fell", tuple(own[:n].tolist()), tuple(base[:n].tolist())), alpha)
            for n in (20, 100, 300)
        ]
        wrong += min(bounds) < excess
    assert wrong / 200 <= alpha


@pytest.mark.parametrize("text", ["often", "baseline", "baseline+", "baseline-0.1", "2", "0", "nan", "baseline+1.5"])
def test_a_limit_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(StudyInputError):
        FallLimit.of(text)


def test_limits_as_they_are_stated() -> None:
    assert FallLimit.of(None) is None
    assert FallLimit.of(0.02) == FallLimit.of("0.02") == FallLimit(0.02)
    assert FallLimit.of(" baseline + 0.02 ") == FallLimit(0.02, over_baseline=True)
    assert "more frequent" in FallLimit(0.02, over_baseline=True).in_words()
