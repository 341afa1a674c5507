"""Falls of candidate and baseline, beside each other."""

from __future__ import annotations

from policypress.measurement.certificate.falls import ObservedFalls, fall_rates


def test_both_policies_are_counted_and_bounded() -> None:
    found = fall_rates(ObservedFalls("it fell", (True, *(False,) * 199), (False,) * 100), 0.05)
    assert (found.count, found.episodes, found.baseline_count, found.baseline_episodes) == (1, 200, 0, 100)
    assert 1 / 200 < found.rate_upper < 0.06
    assert 0 < found.baseline_rate_upper < 0.05
    assert found.held is None
    assert found.to_json()["held"] is None


def test_a_stated_limit_holds_or_does_not() -> None:
    for at_most, held in ((0.05, True), (0.001, False)):
        assert fall_rates(ObservedFalls("it fell", (False,) * 200, (False,) * 200, at_most), 0.01).held is held
