"""Aggregates: hand-computed, and the same as rliable's where that is installed (the extra ``dev`` has it)."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from policypress.report.studies.aggregates import (
    PROFILE_SCORES,
    iqm,
    mean,
    probability_of_improvement,
    shares_above,
)
from policypress.report.studies.estimates import Estimate
from policypress_lu2024.study_report import StudyReport

scores = st.lists(st.floats(-2, 2), min_size=4, max_size=4)

# A process of its own: rliable and what it imports warn, which is an error here.
RLIABLE = """
import json, sys
import numpy as np
from rliable import library, metrics
first, second = (np.array(part) for part in json.loads(sys.argv[1]))
np.random.seed(0)
points, intervals = library.get_interval_estimates(
    {"a": first}, lambda x: np.array([metrics.aggregate_iqm(x), metrics.aggregate_mean(x)]), reps=4000
)
chance, between = library.get_interval_estimates(
    {"a,b": (first, second)}, metrics.probability_of_improvement, reps=1000
)
limits = np.array(json.loads(sys.argv[2]))
shares, _ = library.create_performance_profile({"a": first}, limits, reps=10)
print(json.dumps([points["a"].tolist(), intervals["a"].tolist(), float(chance["a,b"]), between["a,b"].ravel().tolist(),
                  shares["a"].tolist()]))
"""


def test_the_interquartile_mean_of_equal_weights_is_scipys() -> None:
    values = np.random.default_rng(0).normal(size=(10, 8))
    assert float(iqm(list(values.T))) == pytest.approx(scipy.stats.trim_mean(values, 0.25, axis=None))


def test_combinations_weigh_the_same_whatever_their_seeds() -> None:
    few, many = np.array([0.0, 0.0]), np.array([1.0] * 10)
    assert float(mean([few, many])) == 0.5
    assert float(iqm([few, many])) == pytest.approx(0.5)
    assert shares_above([few, many], (0.5,)).tolist() == [0.5]


@given(st.lists(scores, min_size=1, max_size=5), st.lists(scores, min_size=1, max_size=5))
def test_improvement_is_a_probability_and_antisymmetric(first: list[list[float]], second: list[list[float]]) -> None:
    shared = min(len(first), len(second))
    one, other = ([np.array(own) for own in part[:shared]] for part in (first, second))
    chance = float(probability_of_improvement(one, other))
    assert 0 <= chance <= 1
    assert chance + float(probability_of_improvement(other, one)) == pytest.approx(1)
    assert float(probability_of_improvement(one, one)) == 0.5


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("rliable") is None, reason="rliable is not installed")
def test_the_numbers_are_rliables() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(0.9, 0.2, (8, 5)), rng.normal(0.8, 0.2, (6, 5))
    data = json.dumps([first.tolist(), second.tolist()])
    command = [sys.executable, "-W", "ignore", "-c", RLIABLE, data, json.dumps(PROFILE_SCORES)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    points, intervals, chance, between, shares = json.loads(run.stdout.splitlines()[-1])
    ours, theirs = list(first.T), list(second.T)
    assert [float(iqm(ours)), float(mean(ours))] == pytest.approx(points)
    assert float(probability_of_improvement(ours, theirs)) == pytest.approx(chance)
    assert shares_above(ours).tolist() == pytest.approx(shares)
    from policypress.report.studies.aggregates import interval

    for statistic, lower, upper in ((iqm, *np.array(intervals)[:, 0]), (mean, *np.array(intervals)[:, 1])):
        found = interval((ours,), lambda drawn, statistic=statistic: statistic(drawn[0]))
        assert isinstance(found, Estimate)
        assert (found.lower, found.upper) == pytest.approx((lower, upper), abs=0.01)
    improvement = interval((ours, theirs), lambda groups: probability_of_improvement(*groups))
    assert isinstance(improvement, Estimate)
    assert (improvement.lower, improvement.upper) == pytest.approx(between, abs=0.03)


def test_the_aggregates_of_a_study(whole: StudyReport) -> None:
    found = {(aggregate.method, aggregate.ratio): aggregate for aggregate in whole.aggregates}
    assert len(found) == 3 + 2 * 14
    ptsq = found["ptsq", None]
    assert (ptsq.combinations, ptsq.runs, ptsq.missing) == (4, 12, "")
    assert isinstance(ptsq.iqm, Estimate)
    assert ptsq.iqm.lower is not None
    assert ptsq.iqm.upper is not None
    assert ptsq.iqm.lower < 0.6 < ptsq.iqm.upper
    shares = [point.share.estimate for point in ptsq.profile]
    assert shares == sorted(shares, reverse=True)
    assert (shares[0], shares[-1]) == (1.0, 0.0)
    improvements = {(one.first, one.second): one for one in whole.improvements}
    better = improvements["ptdq", "ptsq"].probability
    assert isinstance(better, Estimate)
    assert (better.value, better.lower) == (1.0, 1.0)


def test_recipes_that_are_none_of_the_papers_are_aggregated_too(report: Callable[..., StudyReport]) -> None:
    found = report(
        recipes=("none", "equalize > int8", "prune(l1, 0.33)"), share=lambda *about: 1.0, qat=False
    ).aggregates
    measured = {(one.method, one.ratio): one.runs for one in found if not one.missing}
    assert measured == {("equalize > int8", None): 2, ("l1", 0.33): 2}
