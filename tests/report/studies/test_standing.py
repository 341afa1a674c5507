"""Published returns that baselines are held against; the rule itself is tested with the paper's report."""

from __future__ import annotations

from policypress.report.studies.standing import learned, references


def test_references_say_where_they_are_from() -> None:
    for reference in references().values():
        assert reference.mean_return > 0
        assert reference.steps >= 1_000_000
        assert reference.source


def test_without_a_published_return_two_deviations_above_random_are_enough() -> None:
    random = (0.0, 2.0, 1.0, 1.0)
    assert learned({0: (9.0, 10.0, 11.0), 1: (9.5, 10.5, 9.0)}, random).verdict == "learned"
    assert learned({0: (1.0, 1.1, 0.9), 1: (1.0, 1.2, 0.8)}, random).verdict == "not learned"
    assert learned({0: (9.0,)}, random).verdict == "not known"
    assert learned({}, random).reason == "no baseline was measured"
